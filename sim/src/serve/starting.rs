//! Starting a network.

use super::accept::{Door, listen};
use super::appview::{keep, open};
use super::config::{NetworkConfig, Pace};
use super::dictionaries::Dictionaries;
use super::network::Network;
use super::pace::Driver;
use crate::appview::AppView;
use crate::host::Host;
use crate::host::clock::Clock;
use crate::source::Source;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a network cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ports, or the threads.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The threads.
    #[error("cannot start threads: {0}")]
    Threads(io::Error),
    /// A dictionary that is none.
    #[error("cannot use the zstd dictionary: {0}")]
    Dictionary(io::Error),
}

impl Network {
    /// Makes what has happened already, and listens. It has threads of its own, so it can be started and dropped
    /// inside and outside of a runtime.
    ///
    /// # Errors
    /// Where a port is taken, a dictionary is none, or there are no threads to be had.
    pub fn start(config: NetworkConfig) -> Result<Self, StartError> {
        let source = Source::new(&config.world, config.recording.as_ref());
        let clock = Arc::new(clock(&config, source.start_us()));
        // What is all there at once is sent again and again; what goes on for days is not kept twice.
        let keep_frames = matches!(config.pace, Pace::Full { .. });
        let hosts = config.hosts.iter().cloned().enumerate();
        let hosts: Arc<[Arc<Host>]> =
            hosts.map(|(number, host)| Arc::new(Host::new(host, number, Arc::clone(&clock), keep_frames))).collect();
        let happened = Arc::new(AtomicU64::new(0));
        let dictionaries = Dictionaries::new(source.clone(), config.v1_dictionary, config.v2_dictionary);
        let dictionaries = Arc::new(dictionaries.map_err(StartError::Dictionary)?);
        let appview = config.appview.clone();
        let appview = appview.map(|appview| Arc::new(AppView::new(appview, Arc::clone(&clock), source.start_us())));
        let parts = (source.clone(), Arc::clone(&hosts), appview.clone(), Arc::clone(&clock), Arc::clone(&happened));
        let mut driver = Driver::new(parts.0, parts.1, parts.2, parts.3, parts.4, config.events);
        match config.pace {
            Pace::Full { events } => {
                driver.step(events);
                driver.settle();
            }
            // Where time stands, nothing happens by itself, be it at the very beginning.
            Pace::Stepped if config.history_us == 0 => {}
            Pace::Real { .. } | Pace::Stepped => driver.catch_up(),
        }
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(config.threads.max(1)).thread_name("turbo-sim").enable_all().build();
        let mut network = Self {
            hosts,
            addrs: Vec::new(),
            appview: None,
            dictionaries,
            source,
            happened,
            clock,
            driver: None,
            passing: None,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            runtime: Some(runtime.map_err(StartError::Threads)?),
        };
        for number in 0..network.hosts.len() {
            network.hosts[number].gate().load(config.loading);
            let port = if config.port == 0 { 0 } else { config.port.saturating_add(number as u16) };
            network.open(number, SocketAddr::new(config.address, port))?;
        }
        if let Some(appview) = appview {
            network.open_appview(appview, config.address)?;
        }
        network.pass_time(driver, config.pace)?;
        Ok(network)
    }

    fn open(&mut self, number: usize, addr: SocketAddr) -> Result<(), StartError> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let host = Arc::clone(&self.hosts[number]);
        let _guard = runtime.enter();
        let listening = listen(addr, host.config.manners.send_buffer).and_then(|listener| {
            let addr = listener.local_addr()?;
            Ok((listener, addr))
        });
        let (listener, addr) = listening.map_err(|error| StartError::Listen { addr, error })?;
        let dictionaries = Arc::clone(&self.dictionaries);
        let door = Door { host, dictionaries, tasks: self.tasks.clone(), stop: self.stop.clone() };
        self.tasks.spawn_on(door.keep(listener, addr), runtime.handle());
        self.addrs.push(addr);
        Ok(())
    }

    fn open_appview(&mut self, appview: Arc<AppView>, address: IpAddr) -> Result<(), StartError> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let addr = SocketAddr::new(address, appview.config.port);
        let _guard = runtime.enter();
        let (listener, at) = open(addr).map_err(|error| StartError::Listen { addr, error })?;
        let serving = keep(Arc::clone(&appview), listener, self.tasks.clone(), self.stop.clone());
        self.tasks.spawn_on(serving, runtime.handle());
        self.appview = Some((appview, at));
        Ok(())
    }

    fn pass_time(&mut self, driver: Driver, pace: Pace) -> Result<(), StartError> {
        if !matches!(pace, Pace::Real { .. }) {
            self.driver = Some(Mutex::new(driver));
            return Ok(());
        }
        let stop = self.stop.clone();
        let thread = std::thread::Builder::new().name("turbo-sim-time".into());
        self.passing = Some(thread.spawn(move || driver.run(&stop)).map_err(StartError::Threads)?);
        Ok(())
    }
}

fn clock(config: &NetworkConfig, start_us: i64) -> Clock {
    let from_us = start_us + config.history_us;
    match config.pace {
        Pace::Real { speed } => Clock::Runs { began: Instant::now(), from_us, speed },
        Pace::Full { .. } | Pace::Stepped => Clock::Stands(AtomicI64::new(from_us)),
    }
}
