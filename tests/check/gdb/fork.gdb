# The same guest under every technique: what gdb sees of it is the same.
break proc_fork
continue
info symbol $pc
printf "== pid %d, program %s\n", current->pid, current->program
monitor xp 0x100000 4
output $cr0
printf "\n== cpl %d, vmx ", $cpl
output $vmx
printf "\n"
set $at = $pc
set $n = $insns
stepi
printf "== a step: %d instruction, elsewhere %d\n", $insns - $n, $pc != $at
stepi
stepi
reverse-stepi
reverse-stepi
reverse-stepi
printf "== back: %d instructions, there %d\n", $insns - $n, $pc == $at
delete
watch current->state
continue
info symbol $pc
set $n = $insns
continue
info symbol $pc
reverse-continue
reverse-continue
info symbol $pc
printf "== one before the store: %d\n", $insns - $n
stepi
printf "== behind it: %d\n", $insns - $n
reverse-continue
delete
reverse-continue
printf "== at the beginning: %d\n", $insns
awatch last_pid
continue
info symbol $pc
delete
continue
continue
