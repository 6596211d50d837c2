//! The figures as text.

use std::fmt;

use super::{Figures, Measured, Packages};

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figures::Skipped { reason } => write!(f, "\n3. SKIP mkosi: {reason}"),
            Figures::Measured(measured) => measured.fmt(f),
        }
    }
}

impl fmt::Display for Packages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |list: &[String]| match list {
            [] => "nothing".to_owned(),
            names => names.join(" "),
        };
        write!(
            f,
            "{} in both; only in ours: {}; only in mkosi's: {}",
            self.both,
            names(&self.only_ours),
            names(&self.only_mkosis)
        )
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n3. Whole build against {}", self.peers.join(", "))?;
        writeln!(
            f,
            "   Packages in the image: {}.\n   Ours also signs, compresses, and writes the SBOM and block map;",
            self.packages
        )?;
        writeln!(
            f,
            "   mkosi also refreshes package lists in its first build. Turns: ours, mkosi, ours, ..."
        )?;
        if let Some(samples) = &self.with_downloads {
            writeln!(f, "   mkosi, with downloads       {samples}")?;
        }
        writeln!(
            f,
            "   mkosi, first build          {}; packages downloaded before",
            self.first
        )?;
        writeln!(
            f,
            "   mkosi, one file changed     {}; image not compressed",
            self.incremental
        )?;
        writeln!(
            f,
            "   mkosi, one file changed     {}; zstd level 6, as ours",
            self.incremental_compressed
        )?;
        writeln!(f, "   ours,  one file changed     {}", self.ours)?;
        writeln!(
            f,
            "   mkosi takes {:.2} times as long as ours without its compression, {:.2} times with it",
            self.ratio, self.ratio_compressed
        )?;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "   mkosi's MiB: raw image {:.0}, initrd {:.1}, UKI {:.1}",
            mib(self.sizes.disk_raw),
            mib(self.sizes.initrd),
            mib(self.sizes.uki)
        )
    }
}
