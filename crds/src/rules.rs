//! Rules of the API server (CEL) that several fields share.
//!
//! Every message is `what is wrong; how to mend it`. The server puts field and value before it, and so does the loader;
//! a rule about a whole list says the value itself.

use kube::core::{Message, Rule};

/// `self` as a quantity of CEL, whether it is written as a number or as a text.
const QUANTITY: &str = "quantity(string(self))";

/// A rule whose message is computed.
pub(crate) fn computed(rule: impl Into<String>, message: impl Into<String>) -> Rule {
    Rule::new(rule).message(Message::Expression(message.into()))
}

/// Exactly one of these fields.
pub(crate) fn exactly_one(of: &[&str]) -> Rule {
    let given: Vec<String> = of.iter().map(|field| format!("has(self.{field})")).collect();
    let given = format!("[{}].filter(given, given).size()", given.join(", "));
    let of = of.join(", ");
    computed(
        format!("{given} == 1"),
        format!(
            "{given} == 0 ? 'names none of {of}; give one of them' : 'names several of {of}; give only one of them'"
        ),
    )
}

/// Durations from `min` to `max`, both below a day. CEL knows no days; a text with a `d` in it is at least one.
pub(crate) fn duration_within(min: &str, max: &str) -> Rule {
    let rule =
        format!("!self.contains('d') && duration(self) >= duration('{min}') && duration(self) <= duration('{max}')");
    Rule::new(rule).message(out_of_range(&format!("{min} to {max}")))
}

/// Durations from `min` to a day.
pub(crate) fn duration_within_a_day(min: &str) -> Rule {
    let hours = format!("duration(self) >= duration('{min}') && duration(self) <= duration('24h')");
    let rule = format!("self.contains('d') ? self == '1d' : {hours}");
    Rule::new(rule).message(out_of_range(&format!("{min} to 24h")))
}

/// Durations of `min` and more; `min` is at most a day.
pub(crate) fn duration_at_least(min: &str) -> Rule {
    let rule = format!("self.contains('d') || duration(self) >= duration('{min}')");
    Rule::new(rule).message(out_of_range(&format!("{min} or more")))
}

/// Sizes from `min` to `max`.
pub(crate) fn size_within(min: &str, max: &str) -> Rule {
    let above = format!("{QUANTITY}.compareTo(quantity('{min}')) >= 0");
    let below = format!("{QUANTITY}.compareTo(quantity('{max}')) <= 0");
    Rule::new(format!("{above} && {below}")).message(out_of_range(&format!("{min} to {max}")))
}

/// Sizes of `min` and more.
pub(crate) fn size_at_least(min: &str) -> Rule {
    let rule = format!("{QUANTITY}.compareTo(quantity('{min}')) >= 0");
    Rule::new(rule).message(out_of_range(&format!("{min} or more")))
}

fn out_of_range(range: &str) -> Message {
    Message::Message(format!("is out of range; give {range}"))
}
