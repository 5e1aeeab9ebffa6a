
# Completes words that readline splits at : and =, such as 203.0.113.2:80 and --scheduler=maglev: joins
# their pieces for the completer, and returns candidates without the part that readline keeps.
_xdplb() {
    local line=$COMP_LINE rest piece place word=-1 begin=0 current=-1 start=0
    local -a words=()
    for place in "${!COMP_WORDS[@]}"; do
        piece=${COMP_WORDS[place]}
        rest=${line#"${line%%[![:space:]]*}"}
        if ((word >= 0)) && [[ $rest == "$line" && ($piece == [:=]* || ${words[word]} == *[:=]) ]]; then
            words[word]+=$piece
        else
            word=$((word + 1)) begin=$((${#COMP_LINE} - ${#rest}))
            words[word]=$piece
        fi
        line=${rest#"$piece"}
        if ((place == COMP_CWORD)); then
            current=$word start=$begin
        fi
    done
    local typed=$2 kept=
    if ((COMP_POINT > start)); then
        typed=${COMP_LINE:start:COMP_POINT-start}
        kept=${typed%"$2"}
        kept=${kept//[\"\']/}
        typed=$kept$2
    fi
    local -a COMP_WORDS=("${words[@]}")
    local COMP_CWORD=$current
    _clap_complete_xdplb "$1" "$typed" "${3-}"
    for place in "${!COMPREPLY[@]}"; do
        COMPREPLY[place]=${COMPREPLY[place]#"$kept"}
    done
}
complete -o nospace -o bashdefault -o nosort -F _xdplb xdplb
