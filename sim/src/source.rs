//! Where happenings come from: a world, or a recording.

use crate::recording::Recording;
use crate::truth::Truth;
use crate::world::{Happening, World, WorldConfig};
use std::sync::Arc;

/// A series of happenings that can be begun again.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    World(Box<World>),
    Recording { of: Arc<Recording>, next: usize },
}

impl Source {
    pub(crate) fn new(world: &WorldConfig, recording: Option<&Arc<Recording>>) -> Self {
        match recording {
            Some(of) => Self::Recording { of: Arc::clone(of), next: 0 },
            None => Self::World(Box::new(World::new(world.clone()))),
        }
    }

    /// The same from its beginning.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::World(world) => Self::World(Box::new(World::new(world.config().clone()))),
            Self::Recording { of, .. } => Self::Recording { of: Arc::clone(of), next: 0 },
        }
    }

    /// The next happening; none at a recording's end.
    pub(crate) fn next(&mut self) -> Option<Happening> {
        match self {
            Self::World(world) => Some(world.next()),
            Self::Recording { of, next } => {
                *next += 1;
                of.happenings().get(*next - 1).cloned()
            }
        }
    }

    /// True time of the beginning.
    pub(crate) fn start_us(&self) -> i64 {
        match self {
            Self::World(world) => world.config().start_us,
            Self::Recording { of, .. } => of.happenings().first().map_or(0, |first| first.at_us),
        }
    }

    /// The truth of the first `events` happenings.
    pub(crate) fn truth(&self, events: u64) -> Truth {
        let (mut source, mut truth) = (self.again(), Truth::default());
        (0..events).map_while(|_| source.next()).for_each(|happening| truth.add(&happening));
        truth
    }
}
