//! The embedded fleet server behind the trait of the engine's model world.
//!
//! What the device says goes through `translate` and `uplink` and the DDI client, as in the daemon; bytes come by ranged
//! requests through `Remote`. Model time runs faster than the server's: what waits for a time there waits for seconds here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use roamcore_daemon::offers::Offers;
use roamcore_daemon::remote::{Link, Remote};
use roamcore_daemon::{translate, uplink};
use roamcore_ddi::client::{Auth, Client, Limits, Roots, Settings, Token};
use roamcore_engine::{
    ActionId, Control, Delivery, DeviceError, Message, Payload, Trouble, View, Window,
};
use roamcore_fleet::wire::WindowSpec;
use roamcore_fleet::{Options, Server as Embedded};
use roamcore_ota::Timestamp;
use tokio::runtime::Runtime;

use crate::operator::{Operator, Order};
use crate::world::releases::{FRAME, FRAMES, release};
use crate::world::server::{Kind, Server, Status};

const VAN: &str = "van-7";
/// Releases that the chaos deploys.
const NUMBERS: std::ops::RangeInclusive<u64> = 2..=41;
/// Model milliseconds for one of the server's, where a forced time is concerned.
const FASTER: u64 = 5_000;
/// Of the model's requests for bytes, one of so many is a real one; the others only look whether it would be made.
const REAL: u64 = 3;
/// Model milliseconds that a restart takes.
const DOWN: u64 = 30_000;

/// What happened on the server's side.
#[derive(Debug, Default)]
pub struct Count {
    pub polls: u64,
    pub failed_polls: u64,
    pub told: u64,
    pub downloads: u64,
    /// Of the server; every other one after it was killed rather than stopped.
    pub starts: u64,
    pub cancels: u64,
    pub windows_waited_for: u64,
}

pub struct Fleet {
    runtime: Runtime,
    options: Options,
    server: Option<Embedded>,
    operator: Operator,
    link: Link,
    /// Server's numbers by ours.
    releases: BTreeMap<u64, i64>,
    given: BTreeMap<String, u64>,
    asked: u64,
    now: u64,
    up_at: u64,
    pub count: Rc<RefCell<Count>>,
    _dir: tempfile::TempDir,
}

fn unix() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn client(url: &str, token: &str) -> Client {
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ota/ddi/tests/data/ca.pem");
    let settings = Settings {
        server: url.into(),
        tenant: "DEFAULT".into(),
        controller: VAN.into(),
        auth: Auth::TargetToken(Token::new(token).unwrap()),
        roots: Roots {
            server: std::fs::read(ca).unwrap(),
            others: None,
        },
        plaintext: true,
        limits: Limits {
            // The engine tries again; waiting here would take real time.
            attempts: 1,
            ..Limits::default()
        },
        agent: "chaos".into(),
    };
    Client::new(&settings).unwrap()
}

impl Fleet {
    pub fn start() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("state"));
        let server = runtime.block_on(Embedded::start(options.clone())).unwrap();
        let (devices, operators) = (server.device_url(), server.manage_url());
        let address = |url: &str| url.trim_start_matches("http://").parse().unwrap();
        (options.listen, options.manage) = (address(&devices), address(&operators));
        let admin = std::fs::read_to_string(server.token_file()).unwrap();
        let operator = Operator::new(runtime.handle().clone(), operators, admin.trim().into());
        let token = operator.add_target(VAN);
        let releases = std::iter::once(1).chain(NUMBERS).map(|number| {
            // Every frame says which release it is from; what else is in it the model knows.
            let root = number
                .to_le_bytes()
                .repeat(usize::try_from(FRAMES).unwrap());
            let small = number.to_le_bytes().to_vec();
            let files = [
                ("update.json", small.clone()),
                ("update.json.sig", small),
                ("root.000", root),
            ];
            let version = release(number).version.to_string();
            (number, operator.add_release(&version, &files))
        });
        let releases = releases.collect();
        let link = Link {
            client: Arc::new(client(&devices, &token)),
            offers: Arc::new(Offers::default()),
            runtime: runtime.handle().clone(),
        };
        Self {
            runtime,
            options,
            server: Some(server),
            operator,
            link,
            releases,
            given: BTreeMap::new(),
            asked: 0,
            now: 0,
            up_at: 0,
            count: Rc::default(),
            _dir: dir,
        }
    }

    /// Starts it if it is down.
    fn up(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.server.is_none() {
            let started = self.runtime.block_on(Embedded::start(self.options.clone()));
            match started {
                Ok(server) => self.server = Some(server),
                // What a killed one was writing keeps the lock until it is written.
                Err(error) if Instant::now() > deadline => panic!("no start: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn window(model: u64) -> WindowSpec {
        let at = |seconds: u64| {
            let text = Timestamp::from_unix(unix() + seconds).unwrap().to_string();
            let part = |range: std::ops::Range<usize>| text[range].parse::<u32>().unwrap();
            let (date, time) = ([part(0..4), part(5..7), part(8..10)], [11, 14, 17]);
            let [hour, minute, second] = time.map(|from| part(from..from + 2));
            format!(
                "{second} {minute} {hour} {} {} ? {}",
                date[2], date[1], date[0]
            )
        };
        let (schedule, duration) = match model % 16 {
            // Opens soon.
            0 => (at(2), "01:00:00"),
            // Opens soon and is over soon: whoever comes late finds it lapsed.
            1 => (at(2), "00:00:01"),
            // Is open.
            _ => ("* * * * * ?".to_owned(), "01:00:00"),
        };
        WindowSpec {
            schedule,
            duration: duration.into(),
            timezone: "+00:00".into(),
        }
    }
}

impl Server for Fleet {
    fn poll(&mut self) -> Option<View> {
        self.count.borrow_mut().polls += 1;
        let link = &self.link;
        let found = self.runtime.block_on(async {
            let poll = link.client.poll().await?.poll;
            uplink::view(&link.client, &link.offers, &poll).await
        });
        match found {
            Ok(view) => {
                if let View::Deployment(deployment) = &view
                    && deployment.mode.window == Window::Unavailable
                {
                    // The server's time has to pass, not only the model's.
                    self.count.borrow_mut().windows_waited_for += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Some(view)
            }
            Err(error) => {
                self.count.borrow_mut().failed_polls += 1;
                assert!(
                    self.server.is_none() || error.status().is_none(),
                    "a poll: {error}"
                );
                None
            }
        }
    }

    fn tell(&mut self, message: &Message) -> Delivery {
        self.count.borrow_mut().told += 1;
        let call = translate::call(message, i64::try_from(unix()).ok()).unwrap();
        let link = &self.link;
        let result = self
            .runtime
            .block_on(uplink::carry_out(&link.client, &call));
        let delivery = translate::delivery(&call, &result);
        assert!(
            ![Delivery::Malformed, Delivery::Quota].contains(&delivery),
            "{message:?}: {result:?}"
        );
        delivery
    }

    fn download(&mut self, action: &ActionId) -> Result<u64, DeviceError> {
        let Some(artifacts) = self.link.offers.artifacts(action) else {
            return Err(DeviceError::new(Trouble::Passing, "not offered now"));
        };
        self.asked += 1;
        if !self.asked.is_multiple_of(REAL) && self.server.is_some() {
            return Ok(self.given[&action.0]);
        }
        self.count.borrow_mut().downloads += 1;
        let frame = self.asked % FRAMES * FRAME;
        let mut bytes = Vec::new();
        let mut remote = Remote::new(self.link.clone(), Arc::new(Control::new()), artifacts);
        remote.fetch("root.000", frame..frame + FRAME, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let number = u64::from_le_bytes(bytes.try_into().unwrap());
        assert_eq!(number, self.given[&action.0], "bytes of another release");
        Ok(number)
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        if self.server.is_none() && self.now >= self.up_at {
            self.up();
        }
    }

    fn assign(&mut self, release: u64, kind: Kind, confirm: bool) -> ActionId {
        self.up();
        let (kind, window) = match kind {
            Kind::Forced => (roamcore_fleet::Kind::Forced, None),
            Kind::Soft => (roamcore_fleet::Kind::Soft, None),
            Kind::DownloadOnly => (roamcore_fleet::Kind::DownloadOnly, None),
            Kind::TimeForced(ms) => {
                let force_at = i64::try_from(unix() * 1000 + 1000 + ms / FASTER).unwrap();
                (roamcore_fleet::Kind::TimeForced { force_at }, None)
            }
            Kind::Window(ms) => (roamcore_fleet::Kind::Forced, Some(Self::window(ms))),
        };
        // One that the target has already makes no action: then its neighbour.
        for number in (release..=*NUMBERS.end()).chain(NUMBERS) {
            let order = Order {
                release: self.releases[&number],
                kind,
                window: window.clone(),
                confirm,
            };
            if let Some(action) = self.operator.deploy(VAN, order) {
                self.given.insert(action.to_string(), number);
                return ActionId(action.to_string());
            }
        }
        panic!("every release is assigned")
    }

    fn cancel(&mut self, action: &ActionId) {
        self.up();
        let possible = self.operator.cancel(&action.0, false);
        self.count.borrow_mut().cancels += u64::from(possible);
    }

    fn force_quit(&mut self, action: &ActionId) {
        self.up();
        self.operator.cancel(&action.0, true);
    }

    fn force(&mut self, action: &ActionId) {
        self.up();
        self.operator.force(&action.0);
    }

    fn reopen(&mut self, action: &ActionId) {
        panic!("no backup is restored here, {action} stays as it is")
    }

    fn restart(&mut self) {
        let Some(server) = self.server.take() else {
            return;
        };
        let kill = {
            let mut count = self.count.borrow_mut();
            count.starts += 1;
            count.starts.is_multiple_of(2)
        };
        if kill {
            drop(server);
        } else {
            self.runtime.block_on(server.stop());
        }
        self.up_at = self.now + DOWN;
    }

    fn heard(&self, action: &ActionId) -> usize {
        let history = self.operator.action(&action.0).history;
        history.unwrap_or_default().len()
    }

    fn release_of(&self, action: &ActionId) -> Option<u64> {
        self.given.get(&action.0).copied()
    }

    fn status(&self, action: &ActionId) -> Option<Status> {
        let found = self.operator.action(&action.0);
        Some(match (found.active, found.status) {
            (true, roamcore_fleet::Status::Canceling) => Status::Canceling,
            (true, roamcore_fleet::Status::WaitForConfirmation) => Status::WaitingForConfirmation,
            (false, roamcore_fleet::Status::Finished) => Status::Finished,
            (false, roamcore_fleet::Status::Error) => Status::Error,
            (false, roamcore_fleet::Status::Canceled) => Status::Canceled,
            (false, roamcore_fleet::Status::Downloaded) => Status::Downloaded,
            (true, _) => Status::Running,
            (false, other) => panic!("action {action} ended as {other}"),
        })
    }

    fn installed(&self) -> Option<u64> {
        let installed = self.operator.target(VAN).installed?;
        let found = self.releases.iter().find(|(_, id)| **id == installed.id)?;
        Some(*found.0)
    }

    fn is_quiet(&mut self) -> bool {
        self.server.is_some()
            && self
                .operator
                .target(VAN)
                .open_actions
                .is_none_or(|open| open.is_empty())
    }

    fn describe(&self) -> String {
        if self.server.is_none() {
            return "down".into();
        }
        let mut text = format!("{:?}\n{:?}", self.operator.target(VAN), self.count.borrow());
        let mut last: Vec<i64> = self.given.keys().map(|id| id.parse().unwrap()).collect();
        last.sort_unstable();
        for id in last.iter().rev().take(3) {
            text += &format!("\n  {:?}", self.operator.action(&id.to_string()));
        }
        text
    }
}
