use super::*;
use turbo_testkit::Kubernetes;

const SHORT: Duration = Duration::from_secs(7);

async fn client(server: &Kubernetes) -> Client {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let file = kube::config::Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &Default::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn options(identity: &str) -> Options {
    let (namespace, name) = ("default".to_owned(), "turbo".to_owned());
    Options { namespace, name, identity: identity.to_owned(), duration: SHORT }
}

#[tokio::test]
async fn one_of_many_has_it_and_the_next_one_as_soon_as_it_is_given_back() {
    let Some(server) = Kubernetes::start() else { return };
    let client = client(&server).await;
    let start = |name: String| {
        let (lease, leadership) = Lease::new(client.clone(), options(&name));
        let stop = CancellationToken::new();
        (tokio::spawn(lease.run(stop.clone())), leadership, stop)
    };
    let mut all: Vec<_> = (0..4).map(|number| start(format!("operator-{number}"))).collect();
    while !all.is_empty() {
        let holder = loop {
            let holders: Vec<usize> =
                all.iter().enumerate().filter(|(_, (_, held, _))| held.may_write()).map(|(at, _)| at).collect();
            assert!(holders.len() <= 1, "{holders:?} write at once");
            if let [holder] = holders.as_slice() {
                break *holder;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let (task, leadership, stop) = all.remove(holder);
        stop.cancel();
        task.await.unwrap();
        assert!(!leadership.may_write());
    }
}

#[tokio::test]
async fn who_is_gone_is_followed_when_its_time_is_over_and_not_before() {
    let Some(server) = Kubernetes::start() else { return };
    let client = client(&server).await;
    let (first, mut held) = Lease::new(client.clone(), options("first"));
    let task = tokio::spawn(first.run(CancellationToken::new()));
    assert!(held.held().await);
    // As after kill -9: nothing is given back.
    task.abort();
    let gone = Instant::now();
    let (second, mut holds) = Lease::new(client, options("second"));
    let stop = CancellationToken::new();
    let task = tokio::spawn(second.run(stop.clone()));
    assert!(holds.held().await);
    assert!(!held.may_write(), "two write at once");
    assert!(gone.elapsed() >= SHORT - LOOK, "taken after {:?}", gone.elapsed());
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_server_that_says_nothing_ends_the_writing_in_time() {
    let Some(server) = Kubernetes::start() else { return };
    let client = client(&server).await;
    let (lease, mut leadership) = Lease::new(client, options("only"));
    let stop = CancellationToken::new();
    let task = tokio::spawn(lease.run(stop.clone()));
    assert!(leadership.held().await);
    server.api().pause();
    leadership.lost().await;
    assert!(!leadership.may_write());
    server.api().resume();
    assert!(leadership.held().await, "it is taken up again");
    stop.cancel();
    task.await.unwrap();
}
