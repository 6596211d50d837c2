//! Work, on a thread of its own.
//!
//! Owns: starting and stopping it, and finding the files it needs. Never does: two at a time.
//! Invariant: the last event of a piece of work is its end, and it always comes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use roamcore_engine::{
    Control, Device, DeviceError, Event, Grant, Payload, RealPace, Source, Sources, Trouble, Work,
    WorkEvent, perform,
};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::chain::chain;
use crate::core::Input;
use crate::remote::{Link, Remote};
use crate::stick::Stick;

/// Progress is for people; the core need not hear of every piece.
const SELDOM: Duration = Duration::from_millis(250);

/// A core that is busy empties its queue within this.
const FULL: Duration = Duration::from_millis(20);

/// A device that the core and one piece of work share. Work holds it for all its time.
pub type SharedDevice = Arc<Mutex<dyn Device + Send>>;

/// The running work.
#[derive(Debug)]
pub struct Running {
    control: Arc<Control>,
}

impl Running {
    /// Asks it to stop.
    pub fn stop(&self) {
        self.control.stop();
    }
}

/// Starts a piece of work.
pub fn begin(
    work: Work,
    grant: Grant,
    device: SharedDevice,
    link: Option<Link>,
    core: mpsc::Sender<Input>,
) -> std::io::Result<Running> {
    let control = Arc::new(Control::new());
    let running = Running {
        control: control.clone(),
    };
    let run = move || {
        let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
        let mut finder = Finder {
            link,
            control: control.clone(),
            stick: None,
        };
        let mut told: Option<Instant> = None;
        let mut emit = |event: WorkEvent| {
            let progress = matches!(event, WorkEvent::Progress(_));
            if progress && told.is_some_and(|told| told.elapsed() < SELDOM) {
                return;
            }
            if progress {
                told = Some(Instant::now());
            }
            if !tell(&core, event) {
                control.stop();
            }
        };
        perform(
            &work,
            &grant,
            &mut *device,
            &mut finder,
            &control,
            &RealPace::default(),
            &mut emit,
        );
    };
    std::thread::Builder::new()
        .name("work".to_owned())
        .spawn(run)?;
    Ok(running)
}

/// False when the core is gone: the process is ending. Waits without the runtime's help, because progress
/// is also told from within a download, where this thread drives the runtime's own future.
fn tell(core: &mpsc::Sender<Input>, event: WorkEvent) -> bool {
    let progress = matches!(event, WorkEvent::Progress(_));
    let mut input = Input::Event(Event::Work(event));
    loop {
        input = match core.try_send(input) {
            Ok(()) => return true,
            Err(TrySendError::Closed(_)) => return false,
            // The next one will say more.
            Err(TrySendError::Full(_)) if progress => return true,
            Err(TrySendError::Full(input)) => input,
        };
        std::thread::sleep(FULL);
    }
}

struct Finder {
    link: Option<Link>,
    control: Arc<Control>,
    stick: Option<Stick>,
}

impl Sources for Finder {
    fn open(&mut self, source: &Source) -> Result<Box<dyn Payload + '_>, DeviceError> {
        match source {
            Source::Server { action, .. } => {
                let offline = |why: String| DeviceError::new(Trouble::Offline, why);
                let link = self
                    .link
                    .clone()
                    .ok_or_else(|| offline("no server is configured any more".to_owned()))?;
                let artifacts = link.offers.artifacts(action).ok_or_else(|| {
                    offline(format!("the server does not show action {action} now"))
                })?;
                Ok(Box::new(Remote::new(link, self.control.clone(), artifacts)))
            }
            Source::Local { place } => {
                let failed = |error: &dyn std::error::Error| {
                    DeviceError::new(Trouble::Passing, chain(error))
                };
                let stick = Stick::open(Path::new(place)).map_err(|error| failed(&error))?;
                let stick = self.stick.insert(stick);
                Ok(Box::new(stick.payload().map_err(|error| failed(&error))?))
            }
            Source::Previous | Source::Recovered => Err(DeviceError::new(
                Trouble::Final,
                "this job has no files to fetch",
            )),
        }
    }
}
