#!/bin/bash
# The first process of the machine: brings the story of the second disk on stage.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mkdir /tmp/in
tar xf /dev/vdb -C /tmp/in
bash /tmp/in/powercut.sh
echo o > /proc/sysrq-trigger
