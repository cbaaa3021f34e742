# Completion for fish: a copy of this file in ~/.config/fish/completions/.
_RL_COMPLETE=fish_source rl | source
