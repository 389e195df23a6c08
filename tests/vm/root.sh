# Sourced by the scripts beside it: the root of a virtual machine, made once in target/vm.
readonly PLACE=target/vm

need_vm() {
  local program
  for program in mmdebstrap qemu-system-x86_64 mke2fs; do
    command -v "$program" >/dev/null || { echo "$program is missing: apt-get install mmdebstrap qemu-system-x86 e2fsprogs" >&2; exit 1; }
  done
  [[ -x $BATCHD ]] || { echo "$BATCHD is missing: cargo build --release" >&2; exit 1; }
}

make_root() {
  mkdir -p "$PLACE"
  if [[ ! -e $PLACE/root/ready ]]; then
    rm -rf "$PLACE/root"
    mmdebstrap --mode=root --variant=minbase \
      --include=systemd,systemd-sysv,udev,linux-image-cloud-amd64,initramfs-tools,python3,procps,util-linux,tzdata,kmod bookworm "$PLACE/root"
    install -m 644 tests/vm/guest/story.service "$PLACE/root/etc/systemd/system/story.service"
    chroot "$PLACE/root" systemctl enable story.service
    touch "$PLACE/root/ready"
  fi
  # Its console is stdin and stdout. It is emulated.
  machine=(qemu-system-x86_64 -M q35 -accel "tcg,thread=multi" -cpu max -smp 1 -m 1024 -nographic -no-reboot -nic none
    -kernel "$PLACE"/root/boot/vmlinuz-* -initrd "$PLACE"/root/boot/initrd.img-*)
}

readonly KERNEL="root=/dev/vda rw console=ttyS0 quiet panic=1"
