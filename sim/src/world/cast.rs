//! The accounts of a world, and who acts next.

use super::account::{self, Account, Standing};
use super::config::WorldConfig;
use super::dice::Dice;
use super::happening::Record;
use rand_distr::Zipf;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) struct Cast {
    seed: u64,
    accounts: u32,
    zipf: Option<Zipf<f64>>,
    whole: usize,
    remembered: usize,
    /// Records that are remembered now, in all.
    held: usize,
    met: HashMap<u32, Account>,
}

impl Cast {
    pub(crate) fn new(config: &WorldConfig) -> Self {
        let accounts = config.accounts.max(1);
        Self {
            seed: config.seed,
            accounts,
            zipf: Zipf::new(f64::from(accounts), config.skew).ok(),
            whole: config.whole,
            remembered: config.remembered,
            held: 0,
            met: HashMap::new(),
        }
    }

    pub(crate) fn get(&mut self, number: u32) -> &mut Account {
        self.met.entry(number).or_insert_with(|| Account::new(self.seed, number))
    }

    /// Any account, the busy ones more often.
    pub(crate) fn any(&self, dice: &mut Dice) -> u32 {
        match &self.zipf {
            Some(zipf) => (dice.draw(zipf) as u32).clamp(1, self.accounts) - 1,
            None => dice.below(self.accounts as usize) as u32,
        }
    }

    /// The DID of any account.
    pub(crate) fn any_did(&self, dice: &mut Dice) -> String {
        account::did(self.seed, self.any(dice))
    }

    /// Whether an account may act now.
    pub(crate) fn is_free(&mut self, number: u32, at_us: i64) -> bool {
        let account = self.get(number);
        account.standing == Standing::Active && account.busy_until_us < at_us
    }

    /// An account that may act now, if one is found soon.
    pub(crate) fn free(&mut self, dice: &mut Dice, at_us: i64) -> Option<u32> {
        (0..64).find_map(|_| {
            let number = self.any(dice);
            self.is_free(number, at_us).then_some(number)
        })
    }

    /// A free account whose whole repository is remembered, if one is found soon.
    pub(crate) fn free_and_whole(&mut self, dice: &mut Dice, at_us: i64) -> Option<u32> {
        (0..8).find_map(|_| {
            let number = self.free(dice, at_us)?;
            self.get(number).repo.is_whole().then_some(number)
        })
    }

    /// Remembers a record, and forgets the repository where that is too much.
    pub(crate) fn put(&mut self, number: u32, collection: Cow<'static, str>, rkey: &str, record: Arc<Record>) {
        let full = self.held >= self.remembered;
        let whole = self.whole;
        self.change(number, |repo| {
            repo.put(collection, rkey, record);
            if full || repo.len() > whole {
                repo.forget();
            }
        });
    }

    /// Changes a repository and keeps the count.
    pub(crate) fn change(&mut self, number: u32, change: impl FnOnce(&mut super::repo::Repo)) {
        let repo = &mut self.get(number).repo;
        let before = repo.len();
        change(repo);
        let after = repo.len();
        self.held = (self.held + after).saturating_sub(before);
    }
}
