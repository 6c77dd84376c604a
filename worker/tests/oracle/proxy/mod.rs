//! Between the pipeline and its servers: what makes a network fail.

mod http;
mod message;
mod tcp;

pub use http::S3Proxy;
pub use tcp::Proxy;
