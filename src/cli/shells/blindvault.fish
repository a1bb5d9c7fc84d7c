# blindvault: completion for fish
function __blindvault_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer (printf '%s\0' $words[2..-1] "$current" | command blindvault complete-words fish 2>/dev/null)
    set -l kind (string split ' ' -- "$answer[1]")
    switch "$kind[1]"
        case files
            set -l before (string match -r -- '^--[^=]*=' "$current")
            for file in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$current"))
                printf '%s\n' "$before$file"
            end
        case command
            set -l from (math $kind[2] + 2)
            set -l command
            test (count $words) -ge $from; and set command (string escape -- $words[$from..-1])
            complete -C (string join ' ' -- $command "$current")
        case words
            printf '%s\n' $answer[2..-1]
    end
end
complete -c blindvault -e
complete -c blindvault -f -a '(__blindvault_complete)'
