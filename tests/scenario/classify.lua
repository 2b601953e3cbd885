-- classify{} from a scenario: the theorem's verdict for this machine.
local critical, privileged = 0, 0
for _, v in ipairs(classify { profile = "core2" }) do
	if v.class == "critical" then critical = critical + 1; check(#v.evidence > 0, v.instruction) end
	if v.class == "privileged" then privileged = privileged + 1 end
end
check(critical > 40 and privileged > 40, critical .. " and " .. privileged)
check(not pcall(classify, { profil = "core2" }))
print "done"
--! done
