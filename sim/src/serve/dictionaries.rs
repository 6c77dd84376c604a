//! The dictionaries of a network: given, or trained from its own first frames when somebody asks for one.

use crate::source::Source;
use crate::wire::dictionary::Dictionary;
use crate::wire::{Dialect, Row, v1, v2};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Events to train from.
const SAMPLES: usize = 1_500;
/// Longer ones are left out.
const LONGEST: usize = 4_096;
/// Levels of the servers' encoder: fastest for v2, its default for v1 (jetstream `compress.go`).
const V1_LEVEL: i32 = 3;
const V2_LEVEL: i32 = 1;
/// Numbers of trained ones; registered numbers are kept clear of.
const V1_ID: u32 = 1_900_000_001;
const V2_ID: u32 = 1_900_100_001;

#[derive(Debug)]
pub(crate) struct Dictionaries {
    source: Source,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    v1: Option<Arc<Dictionary>>,
    v2: Option<Arc<Dictionary>>,
    /// Hosts whose dictionary was given another number.
    renumbered: HashMap<usize, Arc<Dictionary>>,
}

impl Dictionaries {
    pub(crate) fn new(source: Source, v1: Option<Vec<u8>>, v2: Option<Vec<u8>>) -> io::Result<Self> {
        let v1 = v1.map(|bytes| Dictionary::new(bytes, V1_LEVEL).map(Arc::new)).transpose()?;
        let v2 = v2.map(|bytes| Dictionary::new(bytes, V2_LEVEL).map(Arc::new)).transpose()?;
        Ok(Self { source, state: Mutex::new(State { v1, v2, renumbered: HashMap::new() }) })
    }

    /// The one dictionary of v1.
    pub(crate) fn v1(&self) -> io::Result<Arc<Dictionary>> {
        let mut state = self.state();
        made(&mut state.v1, || Dictionary::train(&self.samples(false), V1_ID, V1_LEVEL))
    }

    /// The dictionary of v2 on a host.
    pub(crate) fn v2(&self, host: usize) -> io::Result<Arc<Dictionary>> {
        let mut state = self.state();
        if let Some(dictionary) = state.renumbered.get(&host) {
            return Ok(Arc::clone(dictionary));
        }
        made(&mut state.v2, || Dictionary::train(&self.samples(true), V2_ID, V2_LEVEL))
    }

    /// Gives the dictionary of a host another number.
    pub(crate) fn renumber(&self, host: usize) -> io::Result<()> {
        let old = self.v2(host)?;
        let new = Arc::new(old.renumbered(old.id + 1, V2_LEVEL)?);
        self.state().renumbered.insert(host, new);
        Ok(())
    }

    fn samples(&self, is_v2: bool) -> Vec<Vec<u8>> {
        let dialect = Dialect { v1_cursor: true, witnessed_at: false };
        let mut source = self.source.again();
        let happenings = std::iter::from_fn(|| source.next()).take(SAMPLES);
        let rows = happenings.enumerate().map(|(at, happening)| {
            let (seq, time_us) = (1_000_000 + at as u64, happening.at_us);
            Row { seq, time_us, happening: Arc::new(happening) }
        });
        let encode = if is_v2 { v2::event } else { v1::event };
        let frames = rows.map(|row| {
            let mut text = String::new();
            encode(&mut text, &row, dialect);
            text.into_bytes()
        });
        frames.filter(|frame| (1..LONGEST).contains(&frame.len())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn made(
    slot: &mut Option<Arc<Dictionary>>,
    make: impl FnOnce() -> io::Result<Dictionary>,
) -> io::Result<Arc<Dictionary>> {
    if let Some(dictionary) = slot {
        return Ok(Arc::clone(dictionary));
    }
    let dictionary = Arc::new(make()?);
    *slot = Some(Arc::clone(&dictionary));
    Ok(dictionary)
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}
