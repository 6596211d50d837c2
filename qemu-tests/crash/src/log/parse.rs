//! Parsing, from bytes nobody vouches for.

use roamcore_disk::region::ReadAt;

use super::{
    DISCARD, Entry, FLUSH, FUA, HEADER, Log, LogError, MAGIC, MARK, MOST_ENTRIES, SECTOR_SIZES,
    VERSION,
};

impl<R: ReadAt> Log<R> {
    /// Parses a log of `size` bytes. Only entry headers are read; the data stays where it is.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn parse(data: R, size: u64) -> Result<Self, LogError> {
        let (sector, count) = superblock(&data, size)?;
        // Every entry has a sector of its own, so `count` is bounded by the file as well.
        let mut entries = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        let mut at = sector;
        for index in 0..count {
            let truncated = |end| LogError::Truncated {
                index,
                count,
                end,
                size,
            };
            let header = at;
            let bad = |reason: String| LogError::Entry {
                index,
                at: header,
                reason,
            };
            let start = at.checked_add(sector).ok_or_else(|| truncated(u64::MAX))?;
            if start > size {
                return Err(truncated(start));
            }
            let mut raw = [0; HEADER as usize];
            read(&data, at, &mut raw)?;
            let [first, sectors, flags, inline] = words(&raw);
            if flags & !(FLUSH | FUA | DISCARD | MARK) != 0 {
                return Err(bad(format!("flags {flags:#x}, only the lowest four exist")));
            }
            let bytes = |count: u64| {
                let bytes = count.checked_mul(sector).filter(|b| *b <= i64::MAX as u64);
                bytes.ok_or_else(|| {
                    bad(format!("{count} sectors of {sector} bytes are not a range"))
                })
            };
            let (offset, len) = (bytes(first)?, bytes(sectors)?);
            offset
                .checked_add(len)
                .filter(|end| *end <= i64::MAX as u64)
                .ok_or_else(|| {
                    bad(format!(
                        "{sectors} sectors at {first} end beyond every disk"
                    ))
                })?;
            at = start;
            if flags & MARK != 0 {
                entries.push(mark(&data, header, sector, inline).map_err(|e| match e {
                    Ok(io) => io,
                    Err(reason) => bad(reason),
                })?);
                continue;
            }
            if flags & FLUSH != 0 {
                entries.push(Entry::Flush);
            }
            if len == 0 {
                if flags & FLUSH == 0 {
                    return Err(bad("neither data nor a flag; the log was cut here".into()));
                }
                continue;
            }
            if flags & DISCARD != 0 {
                entries.push(Entry::Discard { offset, len });
                continue;
            }
            let end = start.checked_add(len).filter(|end| *end <= size);
            at = end.ok_or_else(|| truncated(start.saturating_add(len)))?;
            entries.push(Entry::Write {
                offset,
                len,
                data_at: start,
                fua: flags & FUA != 0,
            });
        }
        Ok(Self {
            data,
            sector,
            entries,
        })
    }
}

/// Sector size and number of entries.
fn superblock<R: ReadAt>(data: &R, size: u64) -> Result<(u64, u64), LogError> {
    if size < HEADER {
        return Err(LogError::Superblock {
            field: "file size",
            found: size,
            expected: "a superblock; a log is empty until the first flush",
        });
    }
    let mut raw = [0; HEADER as usize];
    read(data, 0, &mut raw)?;
    let [magic, version, count, rest] = words(&raw);
    let sector = rest & u64::from(u32::MAX);
    let field = |field, found, good: bool, expected| match good {
        true => Ok(()),
        false => Err(LogError::Superblock {
            field,
            found,
            expected,
        }),
    };
    field("magic", magic, magic == MAGIC, "0x6a736677736872")?;
    field("version", version, version == VERSION, "1")?;
    let known = SECTOR_SIZES.contains(&sector);
    field("sector size", sector, known, "512 or 4096")?;
    let fits = count <= MOST_ENTRIES && count <= size / sector;
    field(
        "number of entries",
        count,
        fits,
        "no more than the file has sectors, and at most 8388608",
    )?;
    Ok((sector, count))
}

/// The text of a mark, which sits behind the entry's header.
fn mark<R: ReadAt>(
    data: &R,
    at: u64,
    sector: u64,
    inline: u64,
) -> Result<Entry, Result<LogError, String>> {
    if inline > sector - HEADER {
        return Err(Err(format!(
            "a mark of {inline} bytes does not fit its sector"
        )));
    }
    let mut text = vec![0; inline as usize];
    read(data, at + HEADER, &mut text).map_err(Ok)?;
    Ok(Entry::Mark(String::from_utf8_lossy(&text).into_owned()))
}

fn read<R: ReadAt>(data: &R, offset: u64, buf: &mut [u8]) -> Result<(), LogError> {
    data.read_exact_at(buf, offset)
        .map_err(|source| LogError::Io { offset, source })
}

fn words(raw: &[u8; HEADER as usize]) -> [u64; 4] {
    let (words, _) = raw.as_chunks::<8>();
    [0, 1, 2, 3].map(|i| u64::from_le_bytes(words[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogWriter;
    use crate::state::Bytes;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Log<Bytes<&[u8]>>, LogError> {
        Log::parse(Bytes(bytes), bytes.len() as u64)
    }

    fn sample() -> Vec<u8> {
        let mut log = LogWriter::new(512);
        log.write(1024, &[7; 1024]);
        log.flush();
        log.discard(512, 1 << 30);
        log.mark("armed");
        log.write(0, &[9; 512]);
        log.finish()
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = sample();
        let log = parse(&bytes).unwrap();
        let write = |offset, len, data_at| Entry::Write {
            offset,
            len,
            data_at,
            fua: false,
        };
        assert_eq!(
            log.entries(),
            [
                write(1024, 1024, 1024),
                Entry::Flush,
                Entry::Discard {
                    offset: 512,
                    len: 1 << 30
                },
                Entry::Mark("armed".into()),
                write(0, 512, 512 * 8),
            ]
        );
        assert_eq!((log.flushes(), log.sector()), (1, 512));
        let mut buf = [0; 2];
        log.read(0, 1022, &mut buf).unwrap();
        assert_eq!(buf, [7, 7]);
        assert!(log.read(0, 1023, &mut buf).is_err());
        assert!(log.read(1, 0, &mut buf).is_err());
    }

    #[test]
    fn a_flush_that_carries_data_comes_before_it() {
        let mut bytes = sample();
        bytes[512 + 16] = (FLUSH | FUA) as u8;
        let log = parse(&bytes).unwrap();
        assert_eq!(log.entries()[0], Entry::Flush);
        assert!(matches!(log.entries()[1], Entry::Write { fua: true, .. }));
    }

    #[test]
    fn damage_is_named() {
        let cases: [(usize, u8, &str); 8] = [
            (
                0,
                0,
                "write log superblock: magic is 0x6a736677736800, expected 0x6a736677736872",
            ),
            (8, 2, "write log superblock: version is 0x2, expected 1"),
            (
                24,
                1,
                "write log superblock: sector size is 0x201, expected 512 or 4096",
            ),
            (
                18,
                1,
                "write log superblock: number of entries is 0x10005, expected no more than",
            ),
            (
                16,
                6,
                "write log entry 5 of 6 ends at byte 5120, the file has 4608; it was cut",
            ),
            (
                512 + 16,
                16,
                "write log entry 0 at byte 512: flags 0x10, only the lowest four exist",
            ),
            (
                512 + 8,
                0,
                "write log entry 0 at byte 512: neither data nor a flag",
            ),
            (
                512 + 15,
                1,
                "write log entry 0 at byte 512: 72057594037927938 sectors of 512 bytes are not a range",
            ),
        ];
        for (at, value, text) in cases {
            let mut bytes = sample();
            bytes[at] = value;
            let error = parse(&bytes).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
        assert!(parse(&[]).is_err());
        assert!(parse(&sample()[..4000]).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            drop(parse(&bytes));
        }

        #[test]
        fn never_panics_behind_a_good_superblock(
            count in 0u64..9,
            words in proptest::collection::vec(prop_oneof![0u64..20, any::<u64>()], 512),
        ) {
            let mut bytes = LogWriter::new(512).finish();
            bytes[16..24].copy_from_slice(&count.to_le_bytes());
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            if let Ok(log) = parse(&bytes) {
                for (index, entry) in log.entries().iter().enumerate() {
                    if let Entry::Write { len, .. } = entry {
                        log.read(index as u32, len - 1, &mut [0]).unwrap();
                    }
                }
            }
        }

        #[test]
        fn round_trip(writes in proptest::collection::vec((0u64..1000, 1usize..9), 0..20)) {
            let mut log = LogWriter::new(512);
            for (sector, count) in &writes {
                log.write(sector * 512, &vec![*sector as u8; count * 512]);
            }
            let bytes = log.finish();
            let log = parse(&bytes).unwrap();
            let found: Vec<_> = log.entries().iter().filter_map(Entry::range).collect();
            let want: Vec<_> = writes.iter().map(|(s, c)| (s * 512, s * 512 + *c as u64 * 512)).collect();
            prop_assert_eq!(found, want);
        }
    }
}
