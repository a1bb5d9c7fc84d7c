# blindvault: completion for bash
_blindvault() {
  local rest=${COMP_LINE:0:COMP_POINT} before="" last="" kind from word trimmed i
  local -a words starts
  COMPREPLY=()
  # Bash splits at = and : as well; here the words are put together again as they stand on the line.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    trimmed=${rest#"${rest%%[![:space:]]*}"}
    ((i == COMP_CWORD)) && word=$trimmed
    if ((i > 0)) && [[ $trimmed == "$rest" ]]; then
      before=$last
      last+=$word
    else
      ((i > 0)) && { words+=("$last"); }
      before=""
      last=$word
      starts+=("$i")
    fi
    rest=${trimmed#"$word"}
  done
  words+=("$last")
  # What bash is to replace begins behind the last = or :.
  [[ $word == [=:] ]] && before=$last
  {
    read -r kind from
    case $kind in
    files) compopt -o default 2>/dev/null || while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "${last#"$before"}") ;;
    command)
      i=${starts[from + 1]}
      if declare -F _command_offset >/dev/null; then
        _command_offset "$i"
      elif ((i == COMP_CWORD)); then
        while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -c -- "$last")
      else
        compopt -o default 2>/dev/null
      fi
      ;;
    words)
      while IFS=$'\t' read -r word _; do
        COMPREPLY+=("${word:${#before}}")
        [[ $word == *[=/] ]] && compopt -o nospace 2>/dev/null
      done
      ;;
    esac
  } < <(printf '%s\0' "${words[@]:1}" | command blindvault complete-words bash 2>/dev/null)
}
complete -F _blindvault blindvault
