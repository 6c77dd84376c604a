//! What landed in PostgreSQL, beside the truth of the simulator.

use super::stage::built;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// A record as both say it: did, collection, rkey, rev, cid.
type Row = String;

/// What the network says, by the flags that give the same world again.
pub(super) struct Truth {
    flags: Vec<String>,
}

impl Truth {
    /// That of the simulator which says this in its log, at the end of `events` events.
    pub(super) fn of(log: &str, events: u64) -> Self {
        let flags = log.lines().find_map(|line| line.split_once("turbo-sim truth ")).map(|(_, flags)| flags);
        let flags = flags.unwrap_or_else(|| panic!("no flags in {log}")).replace("--events N", "");
        let events = ["--events".to_owned(), events.to_string()];
        Self { flags: flags.split_whitespace().map(str::to_owned).chain(events).collect() }
    }

    /// Every record that has to be there.
    pub(super) fn records(&self) -> BTreeSet<Row> {
        self.said("record", |_| true, &["did", "collection", "rkey", "rev", "cid"]).into_iter().collect()
    }

    /// These fields of what it says of a kind, as v2 tells it.
    pub(super) fn said(&self, kind: &str, of: impl Fn(&Value) -> bool, fields: &[&str]) -> Vec<Row> {
        let output = Command::new(built("turbo-sim")).arg("truth").args(&self.flags).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()[kind].take());
        let text = |line: &Value, field: &&str| line[*field].as_str().unwrap_or_default().to_owned();
        lines
            .filter(|line| line["version"] == "v2" && of(line))
            .map(|line| fields.iter().map(|field| text(&line, field)).collect::<Vec<_>>().join("\t"))
            .collect()
    }
}

/// What a query of the database at this address says.
pub(super) fn query(address: &str, query: &str) -> Result<String, String> {
    let psql = turbo_testkit::program("psql").unwrap();
    let url = format!("postgres://turbo:quickstart@{address}/turbo?connect_timeout=5");
    let output = Command::new(psql).args([&url, "-AtX", "-F", "\t", "-c", query]).output().unwrap();
    let said = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
}

/// Every record that is there.
pub(super) fn records(address: &str) -> Result<BTreeSet<Row>, String> {
    let rows = query(address, "SELECT did, collection, rkey, rev, cid FROM records")?;
    Ok(rows.lines().map(str::to_owned).collect())
}
