# Completion for bash: . helpers/completion/rl.bash, or a copy of it in
# ~/.local/share/bash-completion/completions/rl. The script itself comes from rl, so it is never old.
eval "$(_RL_COMPLETE=bash_source rl)"
