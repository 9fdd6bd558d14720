# SPDX-License-Identifier: Apache-2.0
# work.pl ROUNDS: hashes of arrays of strings, split, join, sort, substitute.
use strict;
use warnings;

my ($rounds) = @ARGV;
my $check = 0;
my %kept;
for my $round (1 .. $rounds) {
    my %words;
    for my $line (1 .. 400) {
        my $text = join ' ', map { "w" . (($_ * $line * 7919 + $round) % 997) } 1 .. 12;
        for my $word (split / /, $text) {
            push @{ $words{$word} }, "$line:$word";
        }
    }
    for my $word (sort keys %words) {
        (my $joined = join ',', @{ $words{$word} }) =~ s/w(\d)/<$1>/g;
        $check = ($check * 31 + length $joined) % 1000000007;
        $kept{$word} = $joined if $round % 10 == 0;
    }
}
print "perl $rounds $check ", scalar(keys %kept), "\n";
