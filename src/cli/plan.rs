//! What `dolmen plan` says.

use crate::session::{Preview, Session, counted, human};

/// Bytes that go from process to process in a cluster.
pub struct Network {
    /// About.
    pub forecast: Option<u64>,
    /// With any method.
    pub least: Option<u64>,
}

/// Tasks, flops, bytes, memory and stages, as lines below a title.
pub fn described(title: &str, session: &Session, preview: &Preview, network: Network) -> String {
    let mut text = format!("{title}\n");
    let mut line = |line: String| {
        text += &line;
        text += "\n";
    };
    let bytes = |bytes: u64| format!("{bytes} ({})", human(bytes));
    let memory = |bytes: u64| format!("{bytes} bytes ({})", human(bytes));
    line(format!("blocks         {}x{}", preview.blocks.0, preview.blocks.1));
    line(format!("workers        {}", workers(session)));
    line(format!("tasks          {}", preview.tasks));
    line(format!("flops          {:.4e}", preview.flops));
    line(format!("bytes read     {}", bytes(preview.bytes_read)));
    line(format!("bytes written  {}", bytes(preview.bytes_written)));
    if let Some(least) = preview.least_bytes {
        let moved = (preview.bytes_read + preview.bytes_written) as f64;
        line(format!("bytes moved    {:.2} times the least that this memory allows", moved / least));
    }
    if let Some(forecast) = network.forecast {
        line(format!("bytes network  about {}", bytes(forecast)));
    }
    if let Some(least) = network.least {
        line(format!("    at least   {} for {} workers", bytes(least), session.workers()));
    }
    if preview.swapped.written > 0 {
        line(format!("bytes spilled  about {}", bytes(preview.swapped.written)));
        line(format!("    read back  about {}", bytes(preview.swapped.read_back)));
    }
    let whose = if session.is_cluster() { ", of the largest worker" } else { "" };
    line(format!("memory bound   {}{whose}", memory(preview.memory_bound)));
    line(format!("memory allowed {}: {}", memory(session.memory()), session.memory_limit()));
    line(format!("runs from      {}, in this way", memory(preview.smallest_memory)));
    line("stages".into());
    for (name, tasks, (rows, cols)) in &preview.stages {
        line(format!("  {name:<12} {tasks:>8} tasks, blocks of {rows}x{cols}"));
    }
    text
}

fn workers(session: &Session) -> String {
    let threads = counted(session.threads() as u64, "thread");
    match session.workers() {
        most if session.least_workers() < most => {
            format!("{} to {most} with {threads} each", session.least_workers())
        }
        1 => format!("1 with {threads}"),
        many if session.is_cluster() => format!("{many} with up to {threads} each"),
        many => format!("{many} with {threads} each"),
    }
}
