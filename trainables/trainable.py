"""The one file that imports Ray on a worker."""
