//! Servers in processes of their own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tidefold::output::Output;
use tidefold::settings::Layers;

use crate::figure::{Outcome, say};

/// A server process; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Its address.
    pub(crate) address: String,
}

type Started = Result<Server, Box<dyn std::error::Error + Send + Sync>>;

/// Clock ticks a second, which Linux has fixed for user space.
const TICKS: f64 = 100.0;

impl Server {
    /// The bare server, with what it writes in a folder.
    pub(crate) fn bare(folder: &Path) -> Started {
        Server::start(&["serve-bare", &folder.to_string_lossy()])
    }

    /// A node with the storefront app. `folding`: whether what is written is folded, or just kept.
    pub(crate) fn node(data: &Path, folding: bool) -> Started {
        let data = data.to_string_lossy().into_owned();
        Server::start(&["serve-node", &data, if folding { "fold" } else { "keep" }])
    }

    /// This program again, with other words; its first line of output is its address.
    pub(crate) fn start(arguments: &[&str]) -> Started {
        let mut child =
            Command::new(std::env::current_exe()?).args(arguments).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        Ok(Server { child, address: address.trim().to_owned() })
    }

    /// A process that was started otherwise.
    #[cfg(feature = "servers")]
    pub(crate) fn of(child: Child, address: String) -> Server {
        Server { child, address }
    }

    /// Asks it to end, and waits until it has.
    #[cfg(feature = "servers")]
    pub(crate) fn terminate(&mut self) -> std::io::Result<()> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        self.child.wait().map(drop)
    }

    /// Seconds of CPU it has used.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.child.id().to_string())
    }

    /// Resident memory now and at its highest, in MiB.
    pub(crate) fn memory_mib(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
            kib.unwrap_or(0.0) / 1024.0
        };
        (field("VmRSS"), field("VmHWM"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of CPU a process has used; `self` is this one.
pub(crate) fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

/// The folder of the storefront app.
pub(crate) fn storefront() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/storefront")
}

/// `serve-node DATA fold|keep`: a node until it is killed; prints its address.
pub(crate) fn serve_node(words: &[String]) -> Outcome {
    let data = words.get(1).ok_or("which data folder?")?.clone();
    let folding = words.get(2).is_none_or(|word| word == "fold");
    let flags = vec![
        ("--http", "listen.http".to_owned(), "127.0.0.1:0".to_owned()),
        ("--admin", "listen.admin".to_owned(), "127.0.0.1:0".to_owned()),
        ("--data", "data.folder".to_owned(), data),
    ];
    let layers = Layers { flags, ..Layers::default() };
    let settings = layers.resolve().settings().map_err(|errors| format!("{errors:?}"))?;
    let app = tidefold::folder::load(&storefront(), &Output::plain()).map_err(|failure| failure.text)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("http").build()?.block_on(async {
        let node = tidefold::node::Node::start(app, &settings, tidefold::node::Role::Everything)
            .await
            .map_err(|failure| failure.text)?;
        let _held =
            if folding { None } else { Some(node.hold("orders").await.map_err(|failure| failure.text)?) };
        say(&node.http.ok_or("the node has no write API")?.to_string())?;
        std::future::pending::<()>().await;
        Ok(())
    })
}
