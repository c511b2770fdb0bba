from mitosis_local.cli import main

main()
