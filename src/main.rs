//! scratch
#[tokio::main]
async fn main() {
    let config = std::env::args().nth(2).unwrap_or("jobs.toml".into());
    if let Err(e) = batchd::daemon::Daemon::builder().config(config).build().run().await {
        eprintln!("{e}");
        std::process::exit(78)
    }
}
