module hvsocket

go 1.19
