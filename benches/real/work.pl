# Regular expressions, hashes, sorting.
use strict;
my ($x, %n, $hits) = (1, (), 0);
for my $i (1 .. 60000) {
    $x = ($x * 1103515245 + 12345) % 2147483648;
    my $line = "key" . $x % 777 . "=" . $i;
    if ($line =~ /^key(\d+)=(\d*)([357])$/) { $n{$1} += $2; $hits++ }
    (my $copy = $line) =~ tr/a-z/A-Z/;
    $hits += length($copy) if $copy =~ s/(\d)(\d)/$2$1/g;
}
my @top = sort { $n{$b} <=> $n{$a} || $a <=> $b } keys %n;
print scalar(@top), " $hits $top[0] $n{$top[0]}\n";
