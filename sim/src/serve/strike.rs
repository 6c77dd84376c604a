//! Faults on a running network.

use super::dictionaries::Dictionaries;
use super::network::Network;
use crate::fault::{Fault, Order, Schedule};
use crate::host::Host;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

impl Network {
    /// Makes something go wrong on a host; returns how many open subscriptions it fell on.
    ///
    /// # Panics
    /// Where there is no such host.
    pub fn fault(&self, host: usize, fault: &Fault) -> usize {
        strike(&self.hosts[host], &self.dictionaries, fault)
    }

    /// Keeps subscriptions to a host out with 503 for so long from now; zero lets them in.
    ///
    /// # Panics
    /// Where there is no such host.
    pub fn set_loading(&self, host: usize, lasts: Duration) {
        self.hosts[host].gate().load(lasts);
    }

    /// Applies a schedule of faults from now on, until the network stops.
    pub fn run(&self, mut schedule: Schedule) {
        let (hosts, dictionaries) = (Arc::clone(&self.hosts), Arc::clone(&self.dictionaries));
        let stop = self.stop.clone();
        let Some(runtime) = &self.runtime else { return };
        info!(again = %schedule, "faults");
        let task = async move {
            while let Some(planned) = schedule.next(hosts.len()) {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(planned.after) => {}
                }
                info!("{planned}");
                strike(&hosts[planned.host], &dictionaries, &planned.fault);
            }
        };
        self.tasks.spawn_on(task, runtime.handle());
    }
}

fn strike(host: &Host, dictionaries: &Dictionaries, fault: &Fault) -> usize {
    match *fault {
        Fault::Duplicate { last, new_sequences: true } => host.repeat(last),
        Fault::Reorder { within, base } => host.restart(base, Some(within.as_micros() as i64)),
        Fault::NewSequences { base } => host.restart(base, None),
        Fault::Loading { lasts } => host.gate().load(lasts),
        Fault::Down { lasts } => host.go_down(lasts),
        Fault::TooManyRequests { lasts } => host.gate().refuse(lasts),
        // Where none can be trained, nobody uses one.
        Fault::NewDictionary => drop(dictionaries.renumber(host.number)),
        _ => {}
    }
    Order::of(fault).map_or(0, |order| host.order(&order))
}
