//! The figures as text.

use std::fmt;

use super::{Figures, Pair};

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n4. Download of an update, root image alone; the idle slot holds nothing"
        )?;
        writeln!(
            f,
            "   Nobody's kernel and initrd are counted: the images have no /boot. Ours come as frames of the UKI \
             (release diff says how many); in a RAUC bundle they are files of the root or an image of their own, \
             both fetched by its block-hash index as below"
        )?;
        writeln!(
            f,
            "   Peers: {}; RAUC adaptive is computed",
            self.peers.join("; ")
        )?;
        for pair in &self.pairs {
            write!(f, "{pair}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p, ours) = (&self.packages, &self.ours);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(f, "\n   {}", self.what)?;
        writeln!(
            f,
            "   {} packages: {} changed, {} added, {} removed; images of {:.1} and {:.1} MiB",
            p.all,
            p.changed,
            p.added,
            p.removed,
            mib(self.old_bytes),
            mib(self.new_bytes)
        )?;
        writeln!(f, "   {:<36} {:>13} {:>8}", "", "to download", "ours is")?;
        let mut row = |what: &str, bytes: u64, note: String| {
            let ratio = ours.bytes() as f64 / bytes as f64;
            writeln!(
                f,
                "   {what:<36} {:>9.2} MiB {ratio:>8.3}  {note}",
                mib(bytes)
            )
        };
        let note = format!(
            "index {:.2} MiB, {} requests",
            mib(ours.index),
            ours.requests
        );
        row("RoamCore, any base", ours.bytes(), note)?;
        for (size, bytes) in &self.rauc.bundles {
            let what = format!("RAUC adaptive, bundle of {} KiB", size >> 10);
            let best = if *bytes == self.rauc.best() {
                ", its best"
            } else {
                ""
            };
            let index = mib(self.rauc.index);
            row(&what, *bytes, format!("index {index:.2} MiB{best}"))?;
        }
        for casync in &self.casync {
            let what = format!("casync, chunks of {} KiB", casync.chunk >> 10);
            let note = format!(
                "index {:.2} MiB, {} requests{}",
                mib(casync.index),
                casync.chunks + 1,
                if casync.usual {
                    ", its default and desync's"
                } else {
                    ""
                }
            );
            row(&what, casync.bytes(), note)?;
        }
        for known in &self.known {
            if let Some(bytes) = known.bytes {
                let note = format!("known base; {:.0} s to make", known.seconds);
                row(&known.command, bytes, note)?;
            }
        }
        writeln!(
            f,
            "   full: {:.2} MiB; packing took {:.1} s, the plan {:.1} s",
            mib(ours.full + ours.index),
            ours.pack_ms as f64 / 1e3,
            ours.plan_ms as f64 / 1e3
        )
    }
}
