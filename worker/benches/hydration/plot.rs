//! A plot of an hour that begins with a cold cache: what part of what is wanted is known, and how many calls the rest takes.

use crate::hour::Minute;
use std::fmt::Write;

const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const SIZE: (f64, f64) = (640.0, 260.0);

/// Where a line is at a minute, from 0 to 1; with the most calls of any.
type Line = fn(&Minute, f64) -> f64;

/// The plot, as SVG.
pub(crate) fn svg(minutes: &[Minute]) -> String {
    let most = minutes.iter().map(|minute| minute.calls).fold(1.0, f64::max).ceil();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"780\" height=\"360\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"20\" font-weight=\"bold\">the first {} minutes with a cold cache, 500 events a second</text>\n",
        minutes.len()
    );
    for tenth in (0..=10).step_by(2) {
        let (share, y) = (f64::from(tenth) / 10.0, TOP + SIZE.1 * (1.0 - f64::from(tenth) / 10.0));
        let (end, right) = (LEFT + SIZE.0, LEFT + SIZE.0 + 8.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.0}H{end:.0}\" stroke=\"#ddd\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{:.0} %</text><text x=\"{right:.0}\" y=\"{:.0}\">{:.1}</text>",
            LEFT - 8.0,
            y + 4.0,
            share * 100.0,
            y + 4.0,
            share * most
        );
    }
    let lines: [(&str, &str, Line); 3] = [
        ("#2a6f97", "profiles that were known", |minute, _| minute.profiles),
        ("#c1666b", "posts that were known", |minute, _| minute.posts),
        ("#555", "calls for each 1,000 events (right)", |minute, most| minute.calls / most),
    ];
    for (at, (colour, name, share)) in lines.iter().enumerate() {
        let step = SIZE.0 / (minutes.len().max(2) - 1) as f64;
        let mut points = String::new();
        for (number, minute) in minutes.iter().enumerate() {
            let _ = write!(
                points,
                "{:.1},{:.1} ",
                LEFT + step * number as f64,
                TOP + SIZE.1 * (1.0 - share(minute, most).clamp(0.0, 1.0))
            );
        }
        let (x, y) = (LEFT + 230.0 * at as f64, TOP + SIZE.1 + 40.0);
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{x:.0}\" y=\"{y:.0}\" fill=\"{colour}\">{name}</text>"
        );
    }
    svg + "</svg>\n"
}
