//! A plot of the rates: bars, as SVG.

use crate::figures::{Measured, middle};
use std::fmt::Write;

const ROW: usize = 24;
const LEFT: usize = 270;
const WIDTH: f64 = 420.0;

/// The plot.
pub(crate) fn svg(measured: &Measured) -> String {
    let bars = bars(measured);
    let most = bars.iter().map(|(.., rate)| *rate).fold(1.0, f64::max);
    let height = ROW * (bars.len() + 2);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"780\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"{ROW}\" font-weight=\"bold\">events a second; grey: bare writers of the same work</text>\n"
    );
    for (at, (name, ours, rate)) in bars.iter().enumerate() {
        let (top, width) = (ROW * (at + 2) - 8, rate / most * WIDTH);
        let (text, fill) = (top + 13, if *ours { "#2a6f97" } else { "#b0b7bd" });
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.0}\" height=\"17\" fill=\"{fill}\"/>\
             <text x=\"{:.0}\" y=\"{text}\">{rate:.0}</text>",
            LEFT - 8,
            LEFT as f64 + width + 6.0
        );
    }
    svg + "</svg>\n"
}

/// Name, whether it is the pipeline's, events a second. What was not measured is left out.
fn bars(measured: &Measured) -> Vec<(String, bool, f64)> {
    let Measured { log, commit, .. } = measured;
    let mut bars = vec![
        ("bare pipelined publisher".to_owned(), false, middle(log, |turn| turn.pipelined)),
        ("bare atomic batches".to_owned(), false, middle(log, |turn| turn.batches)),
        ("append to the log".to_owned(), true, middle(log, |turn| turn.ours)),
        ("bare COPY and merge".to_owned(), false, middle(commit, |turn| turn.bare)),
        ("commit".to_owned(), true, middle(commit, |turn| turn.ours)),
    ];
    for (workers, shards) in [(1, 4), (2, 4), (4, 4), (1, 1), (1, 16), (1, 64)] {
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let name = format!("whole path: {}, {}", plural(workers, "worker"), plural(usize::from(shards), "shard"));
        bars.push((name, true, measured.run(workers, shards, |run| run.rate)));
    }
    bars.retain(|(.., rate)| rate.is_finite());
    bars
}
