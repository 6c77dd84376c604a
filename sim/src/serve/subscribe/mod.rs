//! What a subscription asks for.

pub(crate) mod filter;
pub(crate) mod syntax;
pub(crate) mod v1;
pub(crate) mod v2;
