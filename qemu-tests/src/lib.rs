//! Boots the shipping image in QEMU and proves what it promises.
