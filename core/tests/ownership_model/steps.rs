//! What the statements do to a state, by the functions of `turbo_core::ownership`.

use crate::model::Ownership;
use crate::state::{Column, Held, Late, Set, State};
use turbo_core::ownership;

impl<const S: usize> Ownership<S> {
    /// What the worker would hold after a claim, and the shard's column; `None` where it is not to be had.
    pub(crate) fn claimed(&self, column: &Column, shard: usize, me: u8, gone: Set) -> Option<(Column, Held)> {
        let row = column.row(&self.names);
        let is_gone = |owner: &_| self.names.iter().zip(gone).any(|(name, gone)| gone && name == owner);
        let (row, mine) = self.rules.claim(&row, shard, &self.names[usize::from(me)], is_gone)?;
        let mut column = *column;
        column.set_row(&row, &self.names);
        Some((column, mine.into()))
    }

    /// Claims, and says what is held then.
    pub(crate) fn claim(&self, state: &mut State<S>, shard: usize, me: u8, gone: Set) -> Option<Held> {
        let (column, held) = self.claimed(&state.shards[shard], shard, me, gone)?;
        state.broken.epoch |= held.epoch <= state.shards[shard].epoch;
        state.shards[shard] = column;
        Some(held)
    }

    pub(crate) fn release(&self, state: &mut State<S>, shard: usize, held: Held) {
        let row = ownership::release(&state.shards[shard].row(&self.names), held.owned(shard));
        state.shards[shard].set_row(&row, &self.names);
    }

    /// The parts of the commit that a worker makes now, or has sent: the next event of all that it holds.
    pub(crate) fn commit_of(&self, state: &State<S>, worker: usize) -> [Option<Held>; S] {
        let last = self.bounds.map(|bounds| bounds.events);
        state.shards.map(|column| column.held[worker].filter(|held| last.is_none_or(|last| held.position < last)))
    }

    /// One transaction: all parts land, or none does.
    pub(crate) fn commit(&self, state: &mut State<S>, parts: [Option<Held>; S]) {
        let mut after = state.shards;
        for (shard, (part, column)) in parts.iter().zip(&mut after).enumerate() {
            let Some(part) = *part else { continue };
            let event = part.position + 1;
            match (self.rules.commit)(&column.row(&self.names), &part.owned(shard), event.into()) {
                Ok(row) => column.set_row(&row, &self.names),
                Err(_) => return,
            }
        }
        for (part, column) in parts.iter().zip(&mut after) {
            let Some(part) = part else { continue };
            let event = part.position + 1;
            // An epoch has one claimer. So if each commit lands in its own epoch, no two workers commit in one.
            state.broken.epoch |= part.epoch != column.epoch;
            state.broken.repeated |= event <= column.landed;
            state.broken.skipped |= event > column.landed + 1;
            column.landed = event;
        }
        state.shards = after;
    }

    /// After an answer too: the worker reads the rows of what it sent, and goes on from there.
    pub(crate) fn read_again(&self, state: &mut State<S>, worker: usize) {
        let sent = self.commit_of(state, worker);
        for (shard, (column, sent)) in state.shards.iter_mut().zip(sent).enumerate() {
            if let Some(held) = sent {
                let row = column.row(&self.names);
                column.held[worker] = held.owned(shard).go_on(&row).ok().map(Held::from);
            }
        }
        state.workers[worker].waits = false;
    }

    /// Without an answer.
    pub(crate) fn give_up(&self, state: &mut State<S>, worker: usize) {
        if self.rules.reads_again {
            return self.read_again(state, worker);
        }
        let sent = self.commit_of(state, worker);
        state.workers[worker].waits = false;
        for (column, sent) in state.shards.iter_mut().zip(sent) {
            column.held[worker] = sent.map(|held| Held { position: held.position + 1, ..held }).or(column.held[worker]);
        }
    }

    /// What was sent may land later if nothing else is late; else it is lost.
    pub(crate) fn becomes_late(state: &mut State<S>, late: Late, parts: [Option<Held>; S]) {
        if state.late.is_none() {
            state.late = Some(late);
            for (column, part) in state.shards.iter_mut().zip(parts) {
                column.late = part;
            }
        }
    }

    /// The late statement lands, and nobody waits for the answer.
    pub(crate) fn land_late(&self, state: &mut State<S>) {
        let parts = state.parts();
        let late = state.late;
        Self::lose_late(state);
        match late {
            Some(Late::Commit) => self.commit(state, parts),
            Some(Late::Release) => {
                parts
                    .iter()
                    .enumerate()
                    .for_each(|(shard, part)| part.iter().for_each(|p| self.release(state, shard, *p)));
            }
            Some(Late::Claim(author, gone)) => {
                for (shard, _) in parts.iter().enumerate().filter(|(_, part)| part.is_some()) {
                    self.claim(state, shard, author, gone);
                }
            }
            None => {}
        }
    }

    pub(crate) fn lose_late(state: &mut State<S>) {
        state.late = None;
        state.shards.iter_mut().for_each(|column| column.late = None);
    }

    /// The process ends; what it sent does not.
    pub(crate) fn crash(&self, state: &mut State<S>, worker: usize) {
        if state.workers[worker].waits {
            let parts = self.commit_of(state, worker);
            Self::becomes_late(state, Late::Commit, parts);
        }
        state.shards.iter_mut().for_each(|column| column.held[worker] = None);
        state.workers[worker].waits = false;
        state.workers[worker].runs = false;
        state.crashes += u8::from(self.bounds.is_some());
    }
}
