/* SPDX-License-Identifier: MIT */
/* replay.c - run a fuzz target over every file of its corpus, as a test */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	size_t n;
	long size;

	if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0) {
		perror(path);
		if (f)
			fclose(f);
		return -1;
	}
	rewind(f);
	/* exactly as large as the input, so that sanitizers see the end */
	data = malloc(size ? (size_t)size : 1);
	n = data ? fread(data, 1, (size_t)size, f) : 0;
	fclose(f);
	if (!data || n != (size_t)size) {
		fprintf(stderr, "%s: cannot read\n", path);
		free(data);
		return -1;
	}
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int count = 0;
	struct dirent *e;
	DIR *dir;

	if (argc != 2 || !(dir = opendir(argv[1]))) {
		fprintf(stderr, "usage: replay CORPUS-DIRECTORY\n");
		return 1;
	}
	while ((e = readdir(dir))) {
		char path[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		if (replay(path) < 0)
			return 1;
		count++;
	}
	closedir(dir);
	printf("%u inputs\n", count);
	return count ? 0 : 1; /* an empty corpus tests nothing */
}
