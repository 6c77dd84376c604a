//! The one place that prints.

/// Prints a line that other programs may read.
#[allow(clippy::print_stdout, reason = "the output of a program")]
pub(super) fn line(text: &str) {
    println!("{text}");
}
