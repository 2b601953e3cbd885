# Two virtual machines with the same kernel: a breakpoint holds in the one looked at.
monitor vm 2
maintenance flush register-cache
break proc_fork
continue
printf "== vm %d, pid %d\n", $vm, current->pid
finish
next
reverse-next
printf "== vm %d, pid %d\n", $vm, current->pid
continue
printf "== vm %d, pid %d\n", $vm, current->pid
monitor host
info threads
monitor vm 1
maintenance flush register-cache
info threads
delete
watch last_pid
continue
printf "== vm %d, pid %d\n", $vm, last_pid
reverse-continue
printf "== vm %d, pid %d\n", $vm, last_pid
detach
