//! What comes between: proxies that lie, links that break, clients that dawdle. The server must stay useful to others; our
//! client must neither lose its way nor show its credentials.

mod answers;
mod clients;
mod links;

use anyhow::Result;

use crate::device::Device;
use crate::proxy::Proxy;
use crate::runner::{Case, Ctx, bytes};
use crate::server::Order;
use crate::updater::{Mode, Trouble, Updater};

/// All.
pub fn cases() -> Vec<Case> {
    let groups = [links::cases(), answers::cases(), clients::cases()];
    groups.into_iter().flatten().collect()
}

async fn deployed(ctx: &Ctx, size: usize) -> Result<(Device, u64)> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", &bytes(size))]).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    Ok((device, action))
}

fn through(proxy: &Proxy, device: &Device) -> Result<Updater> {
    Updater::new(
        &proxy.url(),
        &device.id,
        &device.token,
        Mode::Whole,
        Trouble::None,
    )
}
