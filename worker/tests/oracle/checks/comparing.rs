//! The comparison, with faults that are planted.

use crate::judge::hydrated::Versions;
use crate::judge::{Events, compare_all};
use crate::order::{Landed, Wrong, compare};
use crate::slices::{self, SLICES};
use crate::truth::{Sent, Truth};
use serde_json::json;
use turbo_sim::{EventId, WorldConfig};

fn commit(rev: &str) -> EventId {
    let (operation, collection) = ("create".to_owned(), "app.bsky.feed.post".to_owned());
    EventId::Commit { rev: rev.to_owned(), operation, collection, rkey: "k".to_owned() }
}

fn sent(revs: &[&str]) -> Vec<Sent> {
    revs.iter().map(|rev| Sent { id: commit(rev), content: 7, again: false }).collect()
}

fn landed(revs: &[(u64, &str)]) -> Vec<Landed> {
    revs.iter().map(|(seq, rev)| Landed { seq: *seq, id: commit(rev), content: 7 }).collect()
}

fn wrong(sent: &[Sent], landed: &[Landed]) -> Wrong {
    let mut wrong = Wrong::default();
    compare("did:plc:a in posts", &sent.iter().collect::<Vec<_>>(), landed, &mut wrong);
    wrong
}

fn counts(wrong: &Wrong) -> (u64, u64, u64, u64) {
    (wrong.lost, wrong.duplicated, wrong.out_of_order, wrong.different)
}

pub fn what_landed_as_it_was_sent_is_right() {
    assert!(wrong(&sent(&["1", "2"]), &landed(&[(4, "1"), (9, "2")])).is_nothing());
    assert!(wrong(&[], &[]).is_nothing());
}

pub fn a_planted_loss_is_named() {
    let found = wrong(&sent(&["1", "2", "3"]), &landed(&[(4, "1"), (9, "3")]));
    assert_eq!(counts(&found), (1, 0, 0, 0));
    let example = "lost: did:plc:a in posts: create of app.bsky.feed.post/k at 2 between seqs 4 and 9";
    assert_eq!(found.examples, [example]);
    assert_eq!(counts(&wrong(&sent(&["1"]), &[])), (1, 0, 0, 0));
}

pub fn a_planted_duplicate_is_named() {
    let found = wrong(&sent(&["1", "2"]), &landed(&[(4, "1"), (5, "2"), (9, "1")]));
    assert_eq!(counts(&found), (0, 1, 0, 0));
    let example = "duplicated: did:plc:a in posts: create of app.bsky.feed.post/k at 1 landed 2 times, seqs [4, 9]";
    assert_eq!(found.examples, [example]);
    // What was never sent has landed too often as well.
    assert_eq!(counts(&wrong(&sent(&["1"]), &landed(&[(1, "1"), (2, "x")]))), (0, 1, 0, 0));
}

pub fn a_planted_swap_is_named() {
    let found = wrong(&sent(&["1", "2", "3"]), &landed(&[(4, "2"), (5, "1"), (6, "3")]));
    assert_eq!(counts(&found), (0, 0, 1, 0));
    let example = "out of order: did:plc:a in posts: create of app.bsky.feed.post/k at 1, seq 5, landed behind \
                   create of app.bsky.feed.post/k at 2, seq 4";
    assert_eq!(found.examples, [example]);
    // All three at once.
    let found = wrong(&sent(&["1", "2", "3", "4"]), &landed(&[(4, "3"), (5, "1"), (6, "1"), (7, "4")]));
    assert_eq!(counts(&found), (1, 1, 1, 0));
}

pub fn another_content_is_named() {
    let mut other = landed(&[(4, "1")]);
    other[0].content = 8;
    assert_eq!(counts(&wrong(&sent(&["1"]), &other)), (0, 0, 0, 1));
}

pub fn a_second_resync_may_be_passed_over() {
    let again = |rev: &str| Sent { again: true, ..sent(&[rev]).remove(0) };
    let sent = [sent(&["1", "2"]), vec![again("2")], sent(&["3"])].concat();
    assert!(wrong(&sent, &landed(&[(1, "1"), (2, "2"), (3, "3")])).is_nothing());
    assert!(wrong(&sent, &landed(&[(1, "1"), (2, "2"), (3, "2"), (4, "3")])).is_nothing());
    assert_eq!(counts(&wrong(&sent, &landed(&[(1, "1"), (2, "2"), (3, "2"), (4, "2"), (5, "3")]))), (0, 1, 0, 0));
    assert_eq!(counts(&wrong(&sent, &landed(&[(1, "1"), (4, "3")]))), (1, 0, 0, 0));
}

/// Everything of a world as a sink without a fault would have it, but for what `plant` does to the list.
fn of_a_world(truth: &Truth, plant: impl FnOnce(&mut Vec<(usize, String, Landed)>)) -> Wrong {
    let mut all = Vec::new();
    for (did, repo) in &truth.repos {
        for sent in &repo.sent {
            for slice in slices::of(&sent.id) {
                let landed = Landed { seq: all.len() as u64 + 1, id: sent.id.clone(), content: sent.content };
                all.push((slice, did.to_string(), landed));
            }
        }
    }
    plant(&mut all);
    let mut wrong = Wrong::default();
    let mut events = Events::default();
    all.into_iter().for_each(|(slice, did, landed)| events.put(slice, did, landed));
    compare_all(truth, events, &mut wrong);
    wrong
}

pub fn any_change_of_a_world_is_found() {
    let config = WorldConfig { accounts: 40, resyncs: 0.01, removals: 0.005, nasty: 0.02, ..WorldConfig::seeded(5) };
    let truth = Truth::of(&config, 3000);
    assert!(of_a_world(&truth, |_| ()).is_nothing());
    let counted: u64 = truth.counts().values().map(|count| count.most.iter().sum::<u64>()).sum();
    assert!(truth.entries() <= counted);
    // One that is not told again, in the middle.
    let fresh = |all: &[(usize, String, Landed)]| {
        let once = |at: &usize| {
            let same = |other: &&(usize, String, Landed)| other.0 == all[*at].0 && other.1 == all[*at].1;
            all.iter().filter(same).filter(|other| other.2.id == all[*at].2.id).count() == 1
        };
        (all.len() / 2..all.len()).find(once).unwrap_or_default()
    };
    let found = of_a_world(&truth, |all| drop(all.remove(fresh(all))));
    assert_eq!(counts(&found), (1, 0, 0, 0), "{found:?}");
    let found = of_a_world(&truth, |all| all.push(all[fresh(all)].clone()));
    assert_eq!((found.lost, found.duplicated), (0, 1), "{found:?}");
    // A commit in another slice is lost here and too many there.
    let found = of_a_world(&truth, |all| {
        let at = (0..all.len()).find(|at| matches!(all[*at].2.id, EventId::Commit { .. })).unwrap_or_default();
        all[at].0 = (all[at].0 + 1) % SLICES.len();
    });
    assert_eq!((found.lost, found.duplicated), (1, 1), "{found:?}");
}

pub fn a_document_that_is_too_old_is_named() {
    let post = |cid: &str| {
        let names = r#""v":1,"did":"did:plc:a","kind":"commit","seq":1,"slice":"posts","partition":0"#;
        format!(r#"{{{names},"collection":"app.bsky.feed.post","rkey":"k","cid":"{cid}"}}"#)
    };
    let mut versions = Versions::default();
    versions.told(1_000_000, &post("old")).unwrap();
    versions.told(5_000_000, &post("new")).unwrap();
    let stale_at = |cid: &str, as_of: &str, published_us: Option<i64>| {
        let uri = "at://did:plc:a/app.bsky.feed.post/k";
        let item = json!({"uri": uri, "state": "found", "asOf": as_of, "post": {"cid": cid}});
        let mut wrong = Wrong::default();
        versions.check("here", &json!({"version": 1, "subject": item}), published_us, &mut wrong);
        wrong.stale
    };
    let stale = |cid: &str, as_of: &str| stale_at(cid, as_of, None);
    assert_eq!(stale("old", "1970-01-01T00:00:04.000Z"), 0);
    assert_eq!(stale("new", "1970-01-01T00:00:04.000Z"), 0, "what is newer is right too");
    assert_eq!(stale("old", "1970-01-01T00:00:06.000Z"), 1);
    assert_eq!(stale("other", "1970-01-01T00:00:06.000Z"), 1);
    assert_eq!(stale_at("new", "1970-01-01T00:00:06.000Z", Some(20_000_000)), 0);
    assert_eq!(stale_at("new", "1970-01-01T00:00:06.000Z", Some(200_000_000)), 1, "older than its time to live");
}
