-- Required by language.lua; by itself it does nothing.
return { answer = 42 }
