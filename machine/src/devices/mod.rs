//! Devices: one per file, each a state machine with its tests beside it.

pub mod flash;
pub mod fw_cfg;
pub mod gic;
pub mod pl011;
pub mod pl031;
pub mod pl061;
pub mod pv_time;
pub mod virtio;
