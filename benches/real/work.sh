# Loops, functions, arrays, patterns, arithmetic: no other program is started.
declare -A n
x=1
f() { local v=$1; v=${v//1/one}; v=${v%2*}; echo_=$(( ${#v} + 1 )); }
for ((i = 0; i < 12000; i++)); do
    x=$(( (x * 1103515245 + 12345) % 2147483648 ))
    k=$((x % 97))
    n[$k]=$(( ${n[$k]:-0} + i ))
    f "$x"
    case $x in *7*) ((seven++)) ;; *[02468]) ((even++)) ;; esac
    [[ $x =~ ^1([0-9]+)5$ ]] && m=${BASH_REMATCH[1]}
done
echo ${#n[@]} ${n[5]} $echo_ $seven $even $m
