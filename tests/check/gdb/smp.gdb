# Processors are threads; the second is started by the first and stops at its first instruction.
info threads
break *0x8000
continue
printf "== thread %d, cs %x, ", $_thread, $cs
output $mode
printf "\n"
info threads
set $n = $insns
set $at = $pc
stepi
stepi
printf "== thread %d, %d instructions\n", $_thread, $insns - $n
reverse-stepi
printf "== thread %d, %d instructions\n", $_thread, $insns - $n
reverse-stepi
printf "== thread %d, %d instructions, there %d\n", $_thread, $insns - $n, $at == $pc
thread 1
printf "== thread %d, ", $_thread
output $mode
printf "\n"
set $n = $insns
stepi
printf "== thread %d, %d instructions\n", $_thread, $insns - $n
reverse-stepi
printf "== thread %d, %d instructions\n", $_thread, $insns - $n
delete
break power_off
continue
info threads
reverse-continue
kill
