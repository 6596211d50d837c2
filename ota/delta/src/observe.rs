//! Progress, and the way to stop.

use std::ops::ControlFlow;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The idle slot is read: what is already in its place, and what can be moved?
    ScanIdle,
    /// The running slot is read: what can be copied?
    ScanRunning,
    /// Chunks are copied within the device.
    Copy,
    /// Frames are fetched and decoded.
    Fetch,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes of the slot (scan), of the image (copy) or of the download (fetch) done in this stage.
    pub done: u64,
    /// Bytes of this stage in all.
    pub total: u64,
    /// Bytes fetched so far by this call.
    pub downloaded: u64,
    /// Bytes written to the idle slot so far by this call.
    pub written: u64,
}

/// Is told of progress, at least every few MiB and always on the thread that called, and may stop the work by
/// returning [`ControlFlow::Break`]. Whatever was written until then is found again by the next plan.
pub trait Observer {
    /// Something moved.
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()>;
}

impl<F: FnMut(&Progress) -> ControlFlow<()>> Observer for F {
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()> {
        self(progress)
    }
}

/// Watches nothing and stops nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn progress(&mut self, _: &Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
