#compdef blindvault
# blindvault: completion for zsh
_blindvault() {
  local kind from line
  local -a answer plain unfinished
  answer=("${(@f)$(printf '%s\0' "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" |
    command blindvault complete-words zsh 2>/dev/null)}")
  read -r kind from <<< "$answer[1]"
  case $kind in
  files)
    compset -P '--*='
    _files
    ;;
  command)
    shift $((from + 1)) words
    ((CURRENT -= from + 1))
    _normal -p blindvault
    ;;
  words)
    for line in "${(@)answer[2,-1]}"; do
      [[ -n $line ]] || continue
      # _describe takes what stands behind a colon for the description.
      local value="${${line%%$'\t'*}//:/\\:}" description="${line#*$'\t'}"
      if [[ $value == *[=/] ]]; then unfinished+=("$value"); else plain+=("$value${description:+:$description}"); fi
    done
    local result=1
    (($#plain)) && _describe -V blindvault plain && result=0
    (($#unfinished)) && _describe blindvault unfinished -S '' && result=0
    return result
    ;;
  esac
}
# Loaded by the completion system from a file of its own, this is the function's first call; else it is registered.
if [[ $funcstack[1] == _blindvault ]]; then _blindvault "$@"; else compdef _blindvault blindvault; fi
