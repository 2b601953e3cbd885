# 16-bit code: breakpoints are linear, and so is the program counter.
printf "== cs %x ip %x pc %x\n", $cs, $ip, $eip
break *0x7c06
continue
x/i $pc
stepi
printf "== cs %x ip %x pc %x\n", $cs, $ip, $eip
reverse-continue
printf "== cs %x ip %x pc %x\n", $cs, $ip, $eip
detach
