//! The command line, as clap sees it. What a command does is in [`crate::command`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The write path and the read path of a backend that has to grow.
#[derive(Debug, Parser)]
#[command(name = "tidefold", version, arg_required_else_help = true, before_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What all commands share.
    #[command(flatten)]
    pub output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidefold check schemas/storefront               is the app right?
  tidefold up schemas/storefront                  run everything in one process
  tidefold up schemas/storefront --log kafka://127.0.0.1:9092 --store scylla://127.0.0.1:9042
  tidefold publish storefront orders.ndjson       send a file of messages
  curl -d '{\"order_id\":\"o-1\", …}' -H 'Content-Type: application/json' http://127.0.0.1:8080/v1/storefront/PlaceOrder
  curl http://127.0.0.1:8080/v1/storefront/orders/o-1
  tidefold status                                 lag, tables, verdicts
  tidefold verify storefront                      prove that the tables equal the log";

/// How commands print.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// How to print the result.
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    pub output: Format,
    /// Colors: only on a terminal, always, or never.
    #[arg(long, value_enum, default_value_t = When::Auto, global = true)]
    pub color: When,
    /// Print no progress.
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// How the result is printed on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// When to color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum When {
    Auto,
    Always,
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process: APIs, log, folding, store.
    Up(UpArgs),
    /// Run the write API alone, as a part of a fleet on Kafka and ScyllaDB.
    Ingest(UpArgs),
    /// Fold alone, as a part of a fleet: the partitions are shared among all that run.
    Project(UpArgs),
    /// Run the read API alone, as a part of a fleet.
    Query(UpArgs),
    /// Check an app folder and say what is in it.
    Check(CheckArgs),
    /// Send messages from a file, standard input or a generator to the write API.
    Publish(PublishArgs),
    /// Topics, partitions, lag, tables and verdicts of a running node.
    Status(StatusArgs),
    /// Show how one key was folded, message by message.
    Inspect(InspectArgs),
    /// Fold the log again in memory and compare every table byte by byte.
    Verify(AppArgs),
    /// Build every table again from the start of the log, beside the live ones, and switch over.
    Replay(ReplayArgs),
    /// Go back to the generation that was active before.
    Rollback(TopicArgs),
    /// Drop the generation that was kept after a replay.
    Retire(TopicArgs),
    /// Give up a build that a replay began and did not activate.
    Abandon(TopicArgs),
    /// What producers need that write records themselves: topics, schema ids, schemas.
    Schemas(AppArgs),
    /// Records that could not be folded.
    DeadLetters {
        /// What to do with them.
        #[command(subcommand)]
        command: DeadLettersCommand,
    },
    /// The guard that holds a partition when dead letters pile up.
    Breaker {
        /// What to do with it.
        #[command(subcommand)]
        command: BreakerCommand,
    },
    /// Print every setting, its value and where it came from.
    Config(ConfigArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Settings that are also flags.
#[derive(Debug, Default, Args)]
pub struct SettingArgs {
    /// A settings file (TOML).
    #[arg(long, env = "TIDEFOLD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where the write and read APIs listen.
    #[arg(long)]
    pub http: Option<String>,
    /// Where health, metrics and the operators' API listen.
    #[arg(long)]
    pub admin: Option<String>,
    /// The log: `embedded` or `kafka://host:port,host:port`.
    #[arg(long, value_name = "URL")]
    pub log: Option<String>,
    /// The store: `embedded` or `scylla://host:port,host:port`.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Where the embedded log and store keep their files, a folder an app.
    #[arg(long)]
    pub data: Option<String>,
    /// Any setting: `--set section.key=value`, as often as you like.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl SettingArgs {
    /// What a setting's own flag says.
    pub(crate) fn given(&self, flag: &str) -> Option<&str> {
        let all = [
            ("--http", &self.http),
            ("--admin", &self.admin),
            ("--log", &self.log),
            ("--store", &self.store),
            ("--data", &self.data),
        ];
        all.into_iter().find(|(name, _)| *name == flag).and_then(|(_, value)| value.as_deref())
    }
}

/// `tidefold up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The app folder.
    pub folder: PathBuf,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// `tidefold check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The app folder.
    pub folder: PathBuf,
    /// Run its scenarios too; whether they are well formed is checked anyway.
    #[arg(long)]
    pub scenarios: bool,
}

/// What the lines of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LineFormat {
    /// One JSON object a line.
    Ndjson,
    /// A header line, then one message a row.
    Csv,
}

/// `tidefold publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The app.
    pub app: String,
    /// NDJSON or CSV, plain or compressed (gzip, zstd); `-` is standard input. Left out with --synthetic.
    #[arg(required_unless_present = "synthetic", conflicts_with = "synthetic")]
    pub file: Option<PathBuf>,
    /// The message type of every line; without it each line is an envelope with a `type`.
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "synthetic")]
    pub message_type: Option<String>,
    /// What the lines are; without it the file's name says it (`.csv`, `.csv.gz`, `.csv.zst`, else NDJSON).
    #[arg(long, value_enum, conflicts_with = "synthetic")]
    pub format: Option<LineFormat>,
    /// CSV: which column fills which field, `field=column`; without it columns are fields. Repeatable.
    #[arg(long = "column", value_name = "FIELD=COLUMN", conflicts_with = "synthetic")]
    pub columns: Vec<String>,
    /// The field, or in CSV the column, whose text is the message id: sent again, it counts once. Repeatable. Without it every
    /// line counts.
    #[arg(long = "id", alias = "id-column", value_name = "FIELD", conflicts_with = "synthetic")]
    pub id: Vec<String>,
    /// Go on with the run that the ledger tells of: behind what it sent, or with the lines that were refused.
    #[arg(long, conflicts_with_all = ["synthetic", "id"])]
    pub resume: bool,
    /// Send every line as a new message, whatever an earlier run's ledger says.
    #[arg(long, conflicts_with_all = ["synthetic", "id", "resume"])]
    pub again: bool,
    /// Where the ledger of the run is kept; beside the file where nothing is said, and nowhere for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["synthetic", "id"])]
    pub ledger: Option<PathBuf>,
    /// CSV: the character between two cells, `\t` for a tab; a comma where nothing is said.
    #[arg(long, value_name = "CHAR", conflicts_with = "synthetic")]
    pub separator: Option<String>,
    /// CSV: send the rows that are whole from a file whose shape is wrong, and let columns fill nothing.
    #[arg(long, conflicts_with = "synthetic")]
    pub lenient: bool,
    /// Make up this many messages instead, of the app's message types.
    #[arg(long, value_name = "N")]
    pub synthetic: Option<u64>,
    /// The seed of made-up messages: the same seed makes the same messages.
    #[arg(long, default_value_t = 1, conflicts_with = "file")]
    pub seed: u64,
    /// At most this many messages a second.
    #[arg(long)]
    pub rate: Option<u64>,
    /// With --synthetic or CSV: the app's folder, which says what messages look like, or the folder that it lies in. Its name is
    /// what its app.toml says, whatever it is called.
    #[arg(long, value_name = "DIR", default_value = "schemas")]
    pub schemas: PathBuf,
    /// The write API.
    #[arg(long, env = "TIDEFOLD_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
}

/// Where a running node's operators' API is.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's operators' API.
    #[arg(long, env = "TIDEFOLD_NODE", default_value = "http://127.0.0.1:8081")]
    pub node: String,
}

/// `tidefold status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Wait until every partition is folded to its end.
    #[arg(long)]
    pub wait: bool,
    /// With --wait: how long at most, such as 500ms, 60s or 5m; then the exit code is 7.
    #[arg(long, value_name = "DURATION", default_value = "60s", requires = "wait")]
    pub timeout: String,
}

/// An app on a node.
#[derive(Debug, Args)]
pub struct AppArgs {
    /// The app.
    pub app: String,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// One projection, or all, of an app on a node.
#[derive(Debug, Args)]
pub struct TopicArgs {
    /// The app.
    pub app: String,
    /// The projection's topic; all topics without it.
    pub topic: Option<String>,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// `tidefold replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// What to build again.
    #[command(flatten)]
    pub topic: TopicArgs,
    /// Switch over even if rows differ from the active tables': those are damaged, and that is why you replay.
    #[arg(long)]
    pub accept_differences: bool,
}

/// `tidefold inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The entity's table.
    pub table: String,
    /// The key.
    pub key: String,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// `tidefold dead-letters`.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Make the record a dead letter on which its partition is halted; the partition goes on behind it.
    Add {
        /// Its position, as `tidefold status` names it, such as orders:3:918.
        position: String,
        /// Why: it stays with the record for ever.
        #[arg(long)]
        reason: String,
        /// The node that folds its partition.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// List them, oldest first by partition, and say how many more there are.
    List(DeadLettersListArgs),
    /// Show one: its record and why it is dead.
    Show {
        /// Its position, such as orders:3:918.
        position: String,
        /// The node.
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// `tidefold dead-letters list`: every filter that is given has to fit.
#[derive(Debug, Args)]
pub struct DeadLettersListArgs {
    /// The app and node.
    #[command(flatten)]
    pub app: AppArgs,
    /// At most this many, up to 10,000.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Of this topic.
    #[arg(long)]
    pub topic: Option<String>,
    /// Of this partition.
    #[arg(long)]
    pub partition: Option<u32>,
    /// Dead for this reason, such as undecodable.
    #[arg(long, visible_alias = "reason")]
    pub code: Option<String>,
    /// Of this message type.
    #[arg(long = "type", value_name = "TYPE")]
    pub message_type: Option<String>,
    /// With this key.
    #[arg(long)]
    pub key: Option<String>,
    /// Appended at this time or later: 2026-11-24T14:28:37Z, or how long ago, such as 90m or 24h.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Appended before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Behind this position: where the list before ended.
    #[arg(long, value_name = "POSITION")]
    pub after: Option<String>,
}

/// `tidefold breaker`.
#[derive(Debug, Subcommand)]
pub enum BreakerCommand {
    /// Let the dead letters of partitions pass that it holds; it does not hold them again for an hour.
    Lift {
        /// The app, its topic and the node.
        #[command(flatten)]
        topic: TopicArgs,
        /// Only this partition.
        #[arg(long)]
        partition: Option<u32>,
    },
}

/// `tidefold config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
    #[test]
    fn every_flag_of_the_table_of_settings_is_one_of_the_command_line_and_no_other_is() {
        let command = SettingArgs::augment_args(clap::Command::new("up"));
        let ours = ["--config", "--set"];
        let mut there: Vec<String> = command
            .get_arguments()
            .filter_map(|arg| arg.get_long())
            .map(|long| format!("--{long}"))
            .collect();
        there.retain(|flag| !ours.contains(&flag.as_str()));
        there.sort();
        let mut told: Vec<&str> =
            crate::settings::SETTINGS.iter().filter_map(|setting| setting.flag).collect();
        told.sort_unstable();
        assert_eq!(there, told);
        for flag in told {
            let given = Cli::try_parse_from(["tidefold", "config", flag, "x"]).unwrap();
            let Command::Config(args) = given.command else { panic!("{given:?}") };
            assert_eq!(args.settings.given(flag), Some("x"), "{flag}");
        }
    }
}
