//! Standard output of the commands. Whoever reads it may stop reading, as `head` does: then the command ends, and is content.

use std::io::{self, Stdout, Write};

/// Standard output.
#[derive(Debug)]
pub(super) struct Terminal(Stdout);

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
struct NobodyReads;

impl Terminal {
    pub(super) fn new() -> Self {
        Self(io::stdout())
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(told)
    }
}

fn told(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::other(NobodyReads),
        _ => error,
    }
}

/// Whether a command has ended because nobody reads what it says. A server that hangs up is something else.
pub(super) fn is_unread(error: &anyhow::Error) -> bool {
    let is_it =
        |error: &io::Error| error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<NobodyReads>);
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_it))
}
