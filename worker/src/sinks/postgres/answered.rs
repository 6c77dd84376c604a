//! Answers that do not come.

use super::Error;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;

/// What the database answers, or [`Error::NoAnswer`] where it does not within the limit: what it was asked for may have
/// happened all the same, and whoever asked has to read the state again.
///
/// # Errors
/// No answer, or the work's own.
pub(crate) async fn answered<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Error::NoAnswer(limit)))
}

/// The same for work of many statements, which may take as long as it gets on: [`Error::NoAnswer`] comes where the
/// connection was silent for the limit, that is, where nothing has woken the work.
///
/// # Errors
/// No answer, or the work's own.
pub(super) async fn getting_on<T, E: From<Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let (gets_on, mut woken) = watch::channel(());
    let mut work = pin!(work);
    // A set polls what was woken, not what stands beside it.
    let mut work = FuturesUnordered::from_iter([poll_fn(|context| {
        gets_on.send_replace(());
        work.as_mut().poll(context)
    })]);
    loop {
        tokio::select! {
            biased;
            Some(done) = work.next() => return done,
            silent = tokio::time::timeout(limit, woken.changed()) => {
                if silent.is_err() {
                    return Err(Error::NoAnswer(limit).into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn work_may_take_as_long_as_it_gets_on() {
        let work = async {
            for _ in 0..100 {
                sleep(LIMIT / 2).await;
            }
            Ok::<_, Error>(7)
        };
        assert_eq!(getting_on(LIMIT, work).await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_nothing_wakes_is_given_up_whatever_goes_on_beside_it() {
        let began = Instant::now();
        let work = async {
            sleep(LIMIT / 2).await;
            std::future::pending::<Result<(), Error>>().await
        };
        let mut tick = tokio::time::interval(LIMIT / 10);
        let mut given_up = pin!(getting_on(LIMIT, work));
        let error = loop {
            tokio::select! {
                done = &mut given_up => break done.unwrap_err(),
                _ = tick.tick() => {}
            }
        };
        assert!(matches!(error, Error::NoAnswer(LIMIT)), "{error}");
        assert_eq!(began.elapsed().as_secs(), (LIMIT / 2 + LIMIT).as_secs());
    }
}
