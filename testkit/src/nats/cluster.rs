//! Several nats-servers as one.

use super::options::Member;
use super::{Nats, NatsOptions};
use crate::port::Port;
use std::time::{Duration, Instant};

/// How long a cluster may take to be whole.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of nats-servers. Each node can be stopped and started for itself.
pub struct NatsCluster {
    nodes: Vec<Nats>,
}

impl NatsCluster {
    pub(super) fn start(options: &NatsOptions, nodes: usize) -> Option<Self> {
        let ports: Vec<Port> = (0..nodes).map(|_| Port::take()).collect();
        let routes: Vec<String> = ports.iter().map(Port::address).collect();
        let nodes: Option<Vec<Nats>> = ports
            .into_iter()
            .enumerate()
            .map(|(n, port)| options.prepare(Some(Member { name: format!("n{n}"), port, routes: routes.clone() })))
            .collect();
        let cluster = Self { nodes: nodes? };
        cluster.nodes.iter().for_each(|node| node.launch());
        cluster.nodes.iter().for_each(|node| node.wait());
        cluster.settle();
        Some(cluster)
    }

    /// The nodes, in an order that does not change.
    pub fn nodes(&self) -> &[Nats] {
        &self.nodes
    }

    /// The URLs of all nodes, with commas between them.
    pub fn url(&self) -> String {
        self.nodes.iter().map(Nats::url).collect::<Vec<_>>().join(",")
    }

    /// Waits until a meta leader is there that sees every node that runs, and each of these says that it is well: its
    /// streams have caught up.
    ///
    /// # Panics
    /// That does not come to be: fewer than half of the nodes run, or one of them stands still.
    pub fn settle(&self) {
        let began = Instant::now();
        while let Err(reason) = self.settled() {
            let logs: String = self.nodes.iter().map(|node| node.log()).collect();
            assert!(began.elapsed() < PATIENCE, "the cluster does not settle: {reason}\n{logs}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn settled(&self) -> Result<(), String> {
        let running: Vec<&Nats> = self.nodes.iter().filter(|node| node.pid().is_some()).collect();
        let leader = self.meta_leader().ok_or("no meta leader")?;
        let meta = &self.nodes[leader].monitor("/jsz")?["meta_cluster"];
        let current = meta["replicas"].as_array().into_iter().flatten().filter(|node| node["current"] == true).count();
        if current + 1 < running.len() {
            return Err(format!("not all are current: {meta}"));
        }
        running.iter().try_for_each(|node| node.monitor("/healthz").map(drop))
    }

    /// The node that leads the cluster, in the view of more than half of the nodes; `None` while there is none.
    pub fn meta_leader(&self) -> Option<usize> {
        self.agreed(|node| node.monitor("/jsz").ok()?["meta_cluster"]["leader"].as_str().map(str::to_owned))
    }

    /// The node that leads a stream (of the default account), in the view of more than half of the nodes; `None`
    /// while there is none. The stream has a replica on every node.
    pub fn stream_leader(&self, stream: &str) -> Option<usize> {
        self.agreed(|node| {
            let (_, leader) = stream_leaders(node)?.into_iter().find(|(name, _)| *name == stream)?;
            leader
        })
    }

    /// Whether a node leads neither the cluster nor a stream (of the default account), in its own view: one that has lost
    /// the others still leads, and answers, for a while.
    pub fn leads_nothing(&self, node: usize) -> bool {
        let me = format!("n{node}");
        let node = &self.nodes[node];
        let meta = node.monitor("/jsz").is_ok_and(|said| said["meta_cluster"]["leader"] != *me);
        meta && stream_leaders(node)
            .is_some_and(|leaders| leaders.iter().all(|(_, leader)| *leader != Some(me.clone())))
    }

    fn agreed(&self, says: impl Fn(&Nats) -> Option<String>) -> Option<usize> {
        let said: Vec<String> = self.nodes.iter().filter_map(says).collect();
        let votes = |n: &usize| said.iter().filter(|name| **name == format!("n{n}")).count();
        (0..self.nodes.len()).find(|n| votes(n) * 2 > self.nodes.len())
    }
}

/// The streams (of the default account) with their leaders, as a node sees them.
fn stream_leaders(node: &Nats) -> Option<Vec<(String, Option<String>)>> {
    let said = node.monitor("/jsz?acc=$G&streams=true").ok()?;
    let streams = said["account_details"].as_array()?.iter().flat_map(|account| account["stream_detail"].as_array());
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    Some(
        streams
            .flatten()
            .filter_map(|detail| Some((text(&detail["name"])?, text(&detail["cluster"]["leader"]))))
            .collect(),
    )
}
