# What the sandbox of the unit refuses to a job: each fails as documented, `batchd doctor` names the line, and without it the job works.
fresh
drop_in 'LimitNOFILE=1000'
mkdir -p "$ROOT/srv"
chmod 777 "$ROOT/srv"
readonly PITFALLS=(chrt home jit limit log netlink nice niced space su ulimit)
cat <<'TOML' | jobs
[jobs.chrt]
schedule = "manual"
shell = "chrt -b 0 true"
[jobs.home]
schedule = "manual"
command = ["/bin/ls"]
cwd = "/home"
[jobs.jit]
schedule = "manual"
# Memory that is both writable and executable: mmap(2) by its number.
shell = "command -v node > /dev/null && node -e 1 || perl -e 'exit(syscall(9, 0, 4096, 7, 0x22, -1, 0) == -1)'"
[jobs.limit]
schedule = "manual"
command = ["/bin/true"]
limits = { open_files = 1500 }
[jobs.log]
schedule = "manual"
shell = "date >> /srv/log 2>&1"
[jobs.netlink]
schedule = "manual"
shell = "command -v ip > /dev/null && ip addr || perl -e 'socket(my $s, 16, 3, 0) or die'"
[jobs.nice]
schedule = "manual"
shell = "nice -n 5 sh -c '[ $(nice) -gt 0 ]'"
[jobs.niced]
schedule = "manual"
command = ["/bin/true"]
nice = 5
[jobs.space]
schedule = "manual"
shell = "unshare --user true"
[jobs.su]
schedule = "manual"
shell = "su -s /bin/true nobody < /dev/null"
[jobs.ulimit]
schedule = "manual"
shell = "ulimit -n 1500"
[jobs.within]
schedule = "manual"
shell = "date > /var/lib/batchd/date; ulimit -n 100"
limits = { cpu_time = "1m", open_files = 900, processes = 4000 }
TOML
works() { batchd trigger "$1" --wait; }
inside systemctl start batchd
batchd doctor >"$PLACE/doctor" || true
named() { grep --quiet "^\(wrong\|doubtful\) *job $1: .*\($2\)" "$PLACE/doctor" || { cat "$PLACE/doctor"; false; }; }
for pitfall in "${PITFALLS[@]}"; do
  see "the unit refuses what $pitfall does" fails works "$pitfall"
done
see "but no limit below its own" works within
see "doctor is quiet about a job that the unit lets work" fails named nightly .
see "doctor names the line behind each" eval '
  named chrt RestrictRealtime=yes && named home ProtectHome=yes && named jit MemoryDenyWriteExecute=yes && named limit LimitNOFILE=1000 &&
  named log ProtectSystem=strict && named netlink RestrictAddressFamilies= && named nice @resources && named niced @resources &&
  named space RestrictNamespaces=yes && named su NoNewPrivileges=yes && named ulimit LimitNOFILE=1000'
drop_in 'RestrictRealtime=no' 'SystemCallFilter=@resources' 'ProtectHome=read-only' 'MemoryDenyWriteExecute=no' 'LimitNOFILE=2000' \
  'ReadWritePaths=/srv' 'RestrictAddressFamilies=AF_NETLINK' 'RestrictNamespaces=no'
inside systemctl restart batchd
for pitfall in "${PITFALLS[@]}"; do
  [[ $pitfall == su ]] || see "without the line $pitfall works" works "$pitfall"
done

# The drop-ins that stand beside the unit.
installed() { # NAME: the only one
  rm -rf "$ROOT/etc/systemd/system/batchd.service.d"
  install -D -m 644 "systemd/$1.conf" "$ROOT/etc/systemd/system/batchd.service.d/$1.conf"
  inside systemctl daemon-reload
  inside systemctl restart batchd
}
started_with() { installed "$1" && works within; }
see "strict.conf runs a job" started_with strict
see "jobs-compatible.conf as well" started_with jobs-compatible
see "and what crontabs do" eval 'works chrt && works jit && works log && works netlink && works nice && works niced'
printf '[jobs.other]\nschedule = "manual"\nuser = "nobody"\ncwd = "/"\nnice = 5\nshell = "[ $(id -un) = nobody ]"\n' | jobs
chmod 755 "$ROOT/etc/batchd"
see "root.conf runs one as another user" eval 'installed root && works other'
