//! The oracle's own parts, checked before every run: what is planted has to be found.

#![allow(clippy::unwrap_used, reason = "a check that fails ends the run")]

use crate::manifest::{ARCHIVE, ENRICHED};
use crate::stage::Stage;
use crate::truth::Truth;
use std::path::Path;
use tokio::runtime::Handle;

mod comparing;
mod planning;
mod planting;
mod proxying;

/// Runs all checks.
///
/// # Panics
/// One fails.
pub fn all() {
    let checks: [(&str, fn()); 14] = [
        ("what landed as it was sent is right", comparing::what_landed_as_it_was_sent_is_right),
        ("a planted loss is named", comparing::a_planted_loss_is_named),
        ("a planted duplicate is named", comparing::a_planted_duplicate_is_named),
        ("a planted swap is named", comparing::a_planted_swap_is_named),
        ("another content is named", comparing::another_content_is_named),
        ("a second resync may be passed over, a new one may not", comparing::a_second_resync_may_be_passed_over),
        (
            "the truth of a whole world is right, and any change of it is found",
            comparing::any_change_of_a_world_is_found,
        ),
        ("a document that is too old is named", comparing::a_document_that_is_too_old_is_named),
        ("a seed is a schedule", planning::a_seed_is_a_schedule),
        ("a long run meets every fault", planning::a_long_run_meets_every_fault),
        ("settings are read, and refused by name", planning::settings_are_read_and_refused_by_name),
        ("a cut proxy loses what it is told to lose", proxying::a_cut_loses_what_it_is_told_to_lose),
        ("a hanging proxy holds everything and loses nothing", proxying::a_hang_holds_everything_and_loses_nothing),
        (
            "a request to S3 is lost before or behind the server",
            proxying::a_request_is_lost_before_or_behind_the_server,
        ),
    ];
    for (name, check) in checks {
        check();
        eprintln!("check: {name} … ok");
    }
}

/// Plants something in each sink of a run that was right, and looks for it.
///
/// # Panics
/// It is not found.
pub fn planted(runtime: &Handle, stage: &Stage, archive: &Path, truth: &Truth) {
    planting::in_postgres(runtime, &stage.postgres, truth);
    planting::in_files(runtime, &stage.postgres, truth);
    if ARCHIVE {
        planting::in_archive(archive, truth);
    }
    if ENRICHED {
        planting::in_enriched(runtime, &stage.nats.urls(), truth);
    }
    eprintln!("check: what is planted in each sink now is found … ok");
}
