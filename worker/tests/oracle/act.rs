//! What can go wrong, and how it is told.

use std::fmt;
use std::time::Duration;
use turbo_sim::{Fault, Mood};

/// Something that goes wrong. A `which` is counted among the processes that run at that moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// `kill -9`; another process takes its place after so long.
    Kill { role: Role, which: usize, back: Duration },
    /// SIGSTOP for so long, then it goes on: a zombie, where that is longer than the lease.
    Pause { role: Role, which: usize, lasts: Duration },
    /// SIGTERM; another process takes its place after so long.
    Stop { role: Role, which: usize, back: Duration },
    /// From now on there are so many workers.
    Scale { to: usize },
    /// A server is stopped in good order, and starts again after so long.
    Restart { server: Server, down: Duration },
    /// A server is killed, and starts again after so long. Of three NATS servers it is the one that leads the log.
    Crash { server: Server, down: Duration },
    /// A server stands still for so long; its connections stay open.
    Hang { server: Server, lasts: Duration },
    /// All connections to a server are cut.
    Cut { server: Server, how: Cut },
    /// Every read and write of connections to a server waits for so long, for so long.
    Slow { server: Server, each: Duration, lasts: Duration },
    /// What S3 answers to the next requests.
    S3 { how: S3Fault, requests: usize },
    /// The AppView has bad manners for so long.
    AppView { mood: Mood, lasts: Duration },
    /// A host of the source has a fault: the one that was read last, or one so many behind it.
    Source { behind: usize, fault: Fault },
}

/// The roles of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Ingester,
    Worker,
}

/// The servers around the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    Nats,
    Postgres,
    S3,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Half of what the server says next is the last that is heard.
    MidRead,
    /// What the client says next arrives, and the answer is lost.
    LostReply,
    /// Half of what the client says next is the last that arrives.
    MidWrite,
}

/// What becomes of one request to S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Fault {
    /// 503, and nothing was done.
    Unavailable,
    /// It is done, and the answer is lost.
    LostReply,
    /// Nothing arrives but half of the body.
    HalfBody,
    /// It is done, and half of the answer is lost.
    HalfReply,
    /// It waits for so long, then it is done.
    Late(Duration),
    /// It is never answered, nor done.
    Silence,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingester => "ingester",
            Self::Worker => "worker",
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nats => "NATS",
            Self::Postgres => "Postgres",
            Self::S3 => "S3",
        })
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MidRead => "in the middle of an answer",
            Self::LostReply => "before the answer",
            Self::MidWrite => "in the middle of a request",
        })
    }
}

impl fmt::Display for S3Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("answered with 503"),
            Self::LostReply => f.write_str("done, and the answer lost"),
            Self::HalfBody => f.write_str("cut in the middle of the body"),
            Self::HalfReply => f.write_str("cut in the middle of the answer"),
            Self::Late(late) => write!(f, "held for {late:.1?}"),
            Self::Silence => f.write_str("never answered"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { role, which, back } => write!(f, "kill -9 of {role} {which}, back after {back:.1?}"),
            Self::Pause { role, which, lasts } => write!(f, "SIGSTOP of {role} {which} for {lasts:.1?}"),
            Self::Stop { role, which, back } => write!(f, "SIGTERM to {role} {which}, back after {back:.1?}"),
            Self::Scale { to } => write!(f, "workers scaled to {to}"),
            Self::Restart { server, down } => write!(f, "{server} restarts, down for {down:.1?}"),
            Self::Crash { server, down } => write!(f, "{server} is killed, down for {down:.1?}"),
            Self::Hang { server, lasts } => write!(f, "{server} hangs for {lasts:.1?}"),
            Self::Cut { server, how } => write!(f, "connections to {server} are cut {how}"),
            Self::Slow { server, each, lasts } => {
                write!(f, "{server} is slow by {each:.1?} a piece for {lasts:.1?}")
            }
            Self::S3 { how, requests } => write!(f, "the next {requests} requests to S3 are {how}"),
            Self::AppView { mood, lasts } => write!(f, "the AppView is {mood:?} for {lasts:.1?}"),
            Self::Source { behind: 0, fault } => write!(f, "the host that is read: {fault}"),
            Self::Source { behind, fault } => write!(f, "host {behind} behind the one that is read: {fault}"),
        }
    }
}
