//! The counters of the catalog, shard by shard.

use super::Failure;
use crate::order::{Kind, Wrong};
use crate::slices::{self, SLICES};
use crate::truth::Truth;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use std::collections::BTreeMap;

const COUNTERS: &str = "
    SELECT c.slice, c.partition, c.commits, c.identities, c.accounts, c.syncs, c.entries, c.dead_letters,
           p.number, coalesce(d.unreadable, 0) AS unreadable, coalesce(d.letters, 0) AS letters
    FROM counters c
    JOIN positions p ON p.slice = c.slice AND p.partition = c.partition AND p.sink = 'postgres'
    LEFT JOIN (SELECT slice, partition, count(*) AS letters, count(*) FILTER (WHERE reason <> 'Refused') AS unreadable
               FROM dead_letters GROUP BY slice, partition) d ON d.slice = c.slice AND d.partition = c.partition";

/// Compares `counters` with the truth and with what the catalog says elsewhere.
pub async fn counters(connection: &mut PgConnection, truth: &Truth, wrong: &mut Wrong) -> Result<(), Failure> {
    let mut counts: BTreeMap<(usize, u16), _> = truth.counts();
    for row in sqlx::query(COUNTERS).fetch_all(connection).await? {
        let number = |column: &str| row.try_get::<i64, _>(column).map(|number| number as u64);
        let (slice, partition): (String, i32) = (row.try_get("slice")?, row.try_get("partition")?);
        let place = format!("{slice}.{partition}");
        let key = slices::named(&slice).map(|slice| (slice, partition as u16));
        let Some(count) = key.and_then(|key| counts.remove(&key)) else {
            wrong.note(Kind::Different, || format!("{place}: counters of a shard that is none"));
            continue;
        };
        let mut sum = 0;
        for (kind, column) in ["commits", "identities", "accounts", "syncs"].into_iter().enumerate() {
            let counted = number(column)?;
            sum += counted;
            let (least, most) = (count.least[kind], count.most[kind]);
            if counted < least {
                (counted..least)
                    .for_each(|_| wrong.note(Kind::Lost, || format!("{place}: {counted} {column} of {least}")));
            }
            if counted > most {
                (most..counted)
                    .for_each(|_| wrong.note(Kind::Duplicated, || format!("{place}: {counted} {column}, not {most}")));
            }
        }
        let (entries, unreadable) = (number("entries")?, number("unreadable")?);
        let same = [
            ("entries", entries, sum + unreadable),
            ("dead_letters", number("dead_letters")?, number("letters")?),
            ("the position's number", number("number")?, entries),
        ];
        for (what, counted, is) in same.into_iter().filter(|(_, counted, is)| counted != is) {
            wrong.note(Kind::Different, || format!("{place}: {what} is {counted}, not {is}"));
        }
    }
    for ((slice, partition), _) in counts {
        wrong.note(Kind::Lost, || format!("{}.{partition}: it has no counters", SLICES[slice].name));
    }
    Ok(())
}
